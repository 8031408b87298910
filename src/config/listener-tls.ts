import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type CertificateFiles, listenerContext, readCertificates } from './certificate-files.ts';
import { ConfigError } from './config-error.ts';
import { flags } from './flags.ts';
import type { Settings } from './settings.ts';

/**
 * The certificate of the listeners: the one that is named, else the one in `certs` where that is whole. Null: plain text.
 * @throws ConfigError for one of the flags without another that it needs, and for files that cannot be used
 */
export function listenerTls(settings: Settings): CertificateFiles | null {
  const cert = settings.given(flags.tlsCert);
  const key = settings.given(flags.tlsKey);
  const clientCa = settings.given(flags.tlsClientCa) ?? null;
  const pair = cert === undefined && key === undefined ? usualPair() : named(cert, key);
  if (pair === null) {
    if (clientCa === null) return null;
    throw new ConfigError('--tls-client-ca takes --tls-cert and --tls-key beside it');
  }
  const files = { ...pair, clientCa };
  listenerContext(files, readCertificates(files));
  return files;
}

type Pair = Pick<CertificateFiles, 'cert' | 'key'>;

function usualPair(): Pair | null {
  const pair = { cert: resolve('certs/cert.pem'), key: resolve('certs/key.pem') };
  return existsSync(pair.cert) && existsSync(pair.key) ? pair : null;
}

function named(cert: string | undefined, key: string | undefined): Pair | null {
  if (cert === 'none' && key === undefined) return null;
  if (cert === 'none' || cert === undefined) throw new ConfigError('--tls-key takes --tls-cert beside it');
  if (key === undefined) throw new ConfigError('--tls-cert takes --tls-key beside it');
  return { cert, key };
}
