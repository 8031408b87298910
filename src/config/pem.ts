import { X509Certificate } from 'node:crypto';

/**
 * The certificates in a PEM text (RFC 7468), one or more; what stands between them is commentary, which bundles have.
 * @throws when there is none, or one of them is not whole
 */
export function certificatesIn(text: string): readonly string[] {
  const found = text.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  const begun = text.split('-----BEGIN CERTIFICATE-----').length - 1;
  if (found.length === 0 || found.length < begun) throw new Error('no whole certificate');
  for (const certificate of found) new X509Certificate(certificate);
  return found;
}
