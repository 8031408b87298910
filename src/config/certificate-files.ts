import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { ConfigError, quoted } from './config-error.ts';
import { certificatesIn } from './pem.ts';

/** What the listeners show, in PEM: where it is, as absolute paths, or what is there. */
export interface CertificateFiles {
  /** With the chain behind it, if there is one. */
  readonly cert: string;
  readonly key: string;
  /** Who may have signed clients' certificates; null: gRPC asks for none. */
  readonly clientCa: string | null;
}

/** What is in the files. @throws ConfigError that names the flag of one that cannot be read */
export function readCertificates({ cert, key, clientCa }: CertificateFiles): CertificateFiles {
  return {
    cert: readPem('--tls-cert', cert),
    key: readPem('--tls-key', key),
    clientCa: clientCa === null ? null : readPem('--tls-client-ca', clientCa),
  };
}

function readPem(flag: string, path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new ConfigError(`${flag} takes a readable PEM file, not ${quoted(path)}: ${reason}`);
  }
}

/**
 * What a listener takes, TLS 1.2 or newer.
 * @param files where the contents were read, for messages
 * @throws ConfigError that names the flag of a file that is not whole or does not fit the others
 */
export function listenerContext(files: CertificateFiles, contents: CertificateFiles): SecureContextOptions {
  const { cert, key, clientCa } = contents;
  check(() => certificatesIn(cert), `--tls-cert takes a PEM file of certificates, not ${quoted(files.cert)}`);
  const privateKey = check(
    () => createPrivateKey(key),
    `--tls-key takes a PEM file of a private key without a passphrase, not ${quoted(files.key)}`,
  );
  if (!new X509Certificate(cert).checkPrivateKey(privateKey)) {
    throw new ConfigError(
      `--tls-key takes the private key of the certificate in --tls-cert, not ${quoted(files.key)}`,
    );
  }
  if (clientCa !== null) {
    check(
      () => certificatesIn(clientCa),
      `--tls-client-ca takes a PEM file of certificates, not ${quoted(files.clientCa ?? '')}`,
    );
  }
  const options: SecureContextOptions = {
    cert,
    key,
    minVersion: 'TLSv1.2',
    ...(clientCa !== null && { ca: clientCa }),
  };
  check(
    () => createSecureContext(options),
    `--tls-cert takes a certificate that OpenSSL accepts, not ${quoted(files.cert)}`,
  );
  return options;
}

function check<T>(attempt: () => T, complaint: string): T {
  try {
    return attempt();
  } catch {
    throw new ConfigError(complaint);
  }
}
