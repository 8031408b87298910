import { errors, type JWTPayload, type JWTVerifyGetKey, type JWTVerifyOptions, jwtVerify } from 'jose';
import type { Logger } from 'pino';
import { DomainError, UnauthenticatedError } from '../core/errors.ts';
import { createRemoteKeys } from './remote-keys.ts';

/** What a token must say, when it must: RFC 7519 §4.1.1 and §4.1.3. */
interface Expectations {
  readonly issuer: string | null;
  readonly audience: string | null;
}

/** How tokens are signed, and what they must say. */
export type TokenKeys = Expectations &
  (
    | { readonly kind: 'secret'; readonly secret: Uint8Array }
    /** The address of a JSON Web Key Set. */
    | { readonly kind: 'jwks'; readonly url: string }
  );

/** Seconds by which the issuer's clock may differ from ours. */
const clockTolerance = 5;

/** A token must not choose how it is checked: a secret checks these alone, public keys those. */
const algorithms = { secret: ['HS256'], jwks: ['RS256', 'ES256', 'EdDSA'] };

/**
 * Checks signature and time of tokens, and for whom they are. What it answers throws {UnauthenticatedError}, which says
 * what is wrong without repeating the token, and {KeysUnavailableError}.
 */
export function createTokenVerifier(
  keys: TokenKeys,
  log: Pick<Logger, 'warn'>,
): (token: string) => Promise<JWTPayload> {
  const options: JWTVerifyOptions = {
    algorithms: algorithms[keys.kind],
    requiredClaims: ['exp'],
    clockTolerance,
    ...(keys.issuer !== null && { issuer: keys.issuer }),
    ...(keys.audience !== null && { audience: keys.audience }),
  };
  const getKey: JWTVerifyGetKey =
    keys.kind === 'secret' ? () => keys.secret : createRemoteKeys({ url: keys.url, log });
  return async (token) => {
    try {
      return (await jwtVerify(token, getKey, options)).payload;
    } catch (error) {
      throw error instanceof DomainError ? error : new UnauthenticatedError(reasonOf(error, keys.kind));
    }
  };
}

function reasonOf(error: unknown, kind: TokenKeys['kind']): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired; get a new one.';
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.claim === 'exp'
      ? 'The token needs a claim "exp", the time when it expires.'
      : `The token's claim "${error.claim}" does not hold.`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed) {
    return `The token must be signed by ${algorithms[kind].join(' or ')}.`;
  }
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return kind === 'secret'
      ? "The token was not signed with this service's secret."
      : 'The token was not signed with the key that it names.';
  }
  if (error instanceof errors.JWKSNoMatchingKey) {
    return 'The token was signed with a key that is not in the key set; get a new one.';
  }
  if (error instanceof errors.JWKSMultipleMatchingKeys) {
    return 'The token must name its key: several of the key set may have signed it; its header needs a "kid".';
  }
  return 'The token is no valid JWT.';
}
