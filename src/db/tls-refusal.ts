/** Why no encrypted connection, or no plain one, comes about. */
export interface TlsRefusal {
  /** The flag that decides about it. */
  readonly flag: '--db-sslmode' | '--db-ca' | '--db-host';
  /** Said of the server. */
  readonly what: string;
}

// https://docs.openssl.org/3.5/man1/openssl-verification-options/: what OpenSSL says of a chain, as Node spells it.
const unknownAuthority = new Set([
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'CERT_SIGNATURE_FAILURE',
]);
const outOfDate = new Set(['CERT_HAS_EXPIRED', 'CERT_NOT_YET_VALID']);

/** What is wrong between us and a PostgreSQL that cannot agree on TLS; null for every other error. */
export function tlsRefusal(error: unknown): TlsRefusal | null {
  if (typeof error !== 'object' || error === null) return null;
  const code = String(Reflect.get(error, 'code'));
  const message = String(Reflect.get(error, 'message'));
  if (unknownAuthority.has(code)) {
    return {
      flag: '--db-ca',
      what: 'has a certificate of an authority that is not trusted; give its PEM file',
    };
  }
  if (outOfDate.has(code)) {
    return { flag: '--db-ca', what: 'has a certificate that is not valid now; renew it, or set the clock' };
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return { flag: '--db-host', what: 'has a certificate for another name; take a name that it holds' };
  }
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
