import { type CertificateRefusal, certificateRefusal } from '../tls/certificate-refusal.ts';

/** Why no encrypted connection, or no plain one, comes about. */
export interface TlsRefusal {
  /** The flag that decides about it. */
  readonly flag: '--db-sslmode' | '--db-ca' | '--db-host';
  /** Said of the server. */
  readonly what: string;
}

const refusals: Readonly<Record<CertificateRefusal, TlsRefusal>> = {
  'unknown authority': {
    flag: '--db-ca',
    what: 'has a certificate of an authority that is not trusted; give its PEM file',
  },
  'out of date': {
    flag: '--db-ca',
    what: 'has a certificate that is not valid now; renew it, or set the clock',
  },
  'another name': {
    flag: '--db-host',
    what: 'has a certificate for another name; take a name that it holds',
  },
  unfit: {
    flag: '--db-ca',
    what: 'has a certificate that is none for a server, or a chain that does not hold; have it signed anew',
  },
};

/** What is wrong between us and a PostgreSQL that cannot agree on TLS; null for every other error. */
export function tlsRefusal(error: unknown): TlsRefusal | null {
  if (typeof error !== 'object' || error === null) return null;
  const certificate = certificateRefusal(error);
  if (certificate !== null) return refusals[certificate];
  const code = String(Reflect.get(error, 'code'));
  const message = String(Reflect.get(error, 'message'));
  // What pg says without a code.
  if (message === 'The server does not support SSL connections') {
    return { flag: '--db-sslmode', what: 'does not speak TLS; turn its ssl on, or take disable' };
  }
  // A refusal of pg_hba.conf has no code of its own; one in another language is explained as any of them.
  if (code === '28000' && message.endsWith('no encryption')) {
    return { flag: '--db-sslmode', what: 'takes no plain connection; give verify-full' };
  }
  return /^(ERR_SSL_|ERR_TLS_)/.test(code)
    ? { flag: '--db-sslmode', what: 'and this service find no common TLS; it takes TLS 1.2 or newer' }
    : null;
}
