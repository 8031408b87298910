import { SignJWT } from 'jose';
import type { Principal } from '../core/model.ts';

export interface TokenOptions extends Principal {
  /** Seconds until the token expires. */
  readonly expiresIn: number;
}

/** A token that `createAuthenticate` accepts under the same secret: for development and tests. */
export function issueToken(secret: Uint8Array, { subject, role, expiresIn }: TokenOptions): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ role })
    .setProtectedHeader({ alg: 'HS256', typ: 'JWT' })
    .setSubject(subject)
    .setIssuedAt(now)
    .setExpirationTime(now + expiresIn)
    .sign(secret);
}
