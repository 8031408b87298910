import type { Logger } from 'pino';
import { z } from 'zod';
import type { Authenticate } from '../core/core.ts';
import { UnauthenticatedError } from '../core/errors.ts';
import { type Caller, roles } from '../core/model.ts';
import { createTokenVerifier, type TokenKeys } from './token-verifier.ts';

export type AuthenticationMode =
  /** Everybody is an admin. */
  { readonly kind: 'none' } | TokenKeys;

/** Whoever calls, when nobody is asked who they are. */
const everybody: Caller = { subject: 'anonymous', role: 'admin', expiresAt: Infinity };

const claims = z.object({
  role: z.enum(roles, `The token's claim "role" must be one of ${roles.join(', ')}.`),
  sub: z
    .string('The token needs a claim "sub" that says whose it is.')
    .regex(
      /^[^\p{Cc}\p{Cs}]{1,255}$/u,
      'The token\'s claim "sub" must have 1 to 255 characters, no control characters.',
    ),
  exp: z.number('The token\'s claim "exp" must be a number of seconds.'),
});

/**
 * Decides who sends an `authorization` header; one rule for both listeners. What is wrong with a token is said without
 * repeating the token.
 */
export function createAuthenticate(
  mode: AuthenticationMode,
  log: Pick<Logger, 'warn'>,
): (...args: Parameters<Authenticate>) => Promise<Caller> {
  if (mode.kind === 'none') return async () => everybody;
  const verify = createTokenVerifier(mode, log);
  return async (authorization) => {
    const payload = await verify(bearerToken(authorization));
    const parsed = claims.safeParse(payload);
    if (!parsed.success) throw new UnauthenticatedError(parsed.error.issues[0]?.message);
    const { sub, role, exp } = parsed.data;
    return { subject: sub, role, expiresAt: exp * 1000 };
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
