/** What is wrong with the certificate of a server that we connect to. */
export type CertificateRefusal = 'unknown authority' | 'out of date' | 'another name' | 'unfit';

// https://docs.openssl.org/3.5/man1/openssl-verification-options/: what OpenSSL says of a chain, as Node spells it; and
// what Node says of the name.
const refusals: ReadonlyMap<string, CertificateRefusal> = new Map([
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'unknown authority'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'unknown authority'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'unknown authority'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'unknown authority'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'unknown authority'],
  ['CERT_SIGNATURE_FAILURE', 'unknown authority'],
  ['CERT_UNTRUSTED', 'unknown authority'],
  ['CERT_REJECTED', 'unknown authority'],
  ['CERT_HAS_EXPIRED', 'out of date'],
  ['CERT_NOT_YET_VALID', 'out of date'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'another name'],
  ['INVALID_PURPOSE', 'unfit'],
  ['INVALID_CA', 'unfit'],
  ['PATH_LENGTH_EXCEEDED', 'unfit'],
  ['CERT_CHAIN_TOO_LONG', 'unfit'],
]);

/** Why a connection did not take the server's certificate; null for every other error. */
export function certificateRefusal(error: unknown): CertificateRefusal | null {
  if (typeof error !== 'object' || error === null) return null;
  return refusals.get(String(Reflect.get(error, 'code'))) ?? null;
}
