import { errors, type JWTPayload, jwtVerify } from 'jose';
import { z } from 'zod';
import type { Authenticate } from '../core/core.ts';
import { UnauthenticatedError } from '../core/errors.ts';
import { type Principal, roles } from '../core/model.ts';

export type AuthenticationMode =
  /** Everybody is an admin. */
  | { readonly kind: 'none' }
  /** Tokens signed by HS256 with this secret. */
  | { readonly kind: 'secret'; readonly secret: Uint8Array };

const anybody: Principal = { subject: 'anonymous', role: 'admin' };

/** Seconds by which the issuer's clock may differ from ours. */
const clockTolerance = 5;

const claims = z.object({
  role: z.enum(roles, `The token's claim "role" must be one of ${roles.join(', ')}.`),
  sub: z
    .string('The token needs a claim "sub" that says whose it is.')
    .regex(
      /^[^\p{Cc}\p{Cs}]{1,255}$/u,
      'The token\'s claim "sub" must have 1 to 255 characters, no control characters.',
    ),
});

/**
 * Decides who sends an `authorization` header; one rule for both listeners. What is wrong with a token is said without
 * repeating the token.
 */
export function createAuthenticate(mode: AuthenticationMode): Authenticate {
  if (mode.kind === 'none') return async () => anybody;
  const { secret } = mode;
  return async (authorization) => {
    const payload = await verify(bearerToken(authorization), secret);
    const parsed = claims.safeParse(payload);
    if (!parsed.success) throw new UnauthenticatedError(parsed.error.issues[0]?.message);
    return { subject: parsed.data.sub, role: parsed.data.role };
  };
}

/** RFC 6750, section 2.1. */
function bearerToken(authorization: string | undefined): string {
  if (authorization === undefined) {
    throw new UnauthenticatedError('A token is needed: send the header "authorization: Bearer <JWT>".');
  }
  const token = /^bearer +([^\s]+) *$/i.exec(authorization)?.[1];
  if (token === undefined) {
    throw new UnauthenticatedError(
      'The authorization header must be "Bearer" and a JWT, with a space between.',
    );
  }
  return token;
}

async function verify(token: string, secret: Uint8Array): Promise<JWTPayload> {
  try {
    // Only HS256: a token must not choose how it is checked.
    const { payload } = await jwtVerify(token, secret, {
      algorithms: ['HS256'],
      requiredClaims: ['exp'],
      clockTolerance,
    });
    return payload;
  } catch (error) {
    throw new UnauthenticatedError(reasonOf(error));
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired; get a new one.';
  if (error instanceof errors.JWTClaimValidationFailed) {
    return error.claim === 'exp'
      ? 'The token needs a claim "exp", the time when it expires.'
      : `The token's claim "${error.claim}" does not hold.`;
  }
  if (error instanceof errors.JOSEAlgNotAllowed) return 'The token must be signed by HS256.';
  if (error instanceof errors.JWSSignatureVerificationFailed) {
    return "The token was not signed with this service's secret.";
  }
  return 'The token is no valid JWT.';
}
