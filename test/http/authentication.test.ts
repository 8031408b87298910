import { SignJWT, UnsecuredJWT } from 'jose';
import { expect, test } from 'vitest';
import { UnauthenticatedError } from '../../src/core/errors.ts';
import { createAuthenticate } from '../../src/http/authentication.ts';
import { issueToken } from '../../src/http/token.ts';

const secret = new TextEncoder().encode('a secret that has at least 32 bytes');
const authenticate = createAuthenticate({ kind: 'secret', secret });

/** A token with these claims, good in every other way. */
function token(claims: Record<string, unknown>, algorithm = 'HS256', key = secret): Promise<string> {
  return new SignJWT({ role: 'viewer', sub: 'somebody', exp: Math.floor(Date.now() / 1000) + 60, ...claims })
    .setProtectedHeader({ alg: algorithm })
    .sign(key);
}

/** The line that refuses the header. */
async function refusal(authorization: string | undefined): Promise<string> {
  const error = await authenticate(authorization).catch((thrown: unknown) => thrown);
  if (!(error instanceof UnauthenticatedError)) throw new Error(`not refused: ${JSON.stringify(error)}`);
  return error.message;
}

test.each(['viewer', 'editor', 'admin'] as const)('a token for a %s is one', async (role) => {
  const issued = await issueToken(secret, { subject: 'dashboard', role, expiresIn: 60 });
  expect(await authenticate(`Bearer ${issued}`)).toEqual({ subject: 'dashboard', role });
  expect(await authenticate(`bearer  ${issued} `)).toEqual({ subject: 'dashboard', role });
});

test('without a secret everybody is an admin', async () => {
  const open = createAuthenticate({ kind: 'none' });
  expect(await open(undefined)).toEqual({ subject: 'anonymous', role: 'admin' });
  expect(await open('Bearer whatever')).toEqual({ subject: 'anonymous', role: 'admin' });
});

test('a clock that is a few seconds off does no harm', async () => {
  const now = Math.floor(Date.now() / 1000);
  expect(await authenticate(`Bearer ${await token({ exp: now - 2, nbf: now + 2 })}`)).toMatchObject({
    role: 'viewer',
  });
});

test.each<[string, () => Promise<string | undefined>, string]>([
  ['no header', async () => undefined, 'A token is needed: send the header "authorization: Bearer <JWT>".'],
  [
    'another scheme',
    async () => 'Basic YTpi',
    'The authorization header must be "Bearer" and a JWT, with a space between.',
  ],
  ['no JWT', async () => 'Bearer abc', 'The token is no valid JWT.'],
  [
    'another secret',
    async () => `Bearer ${await token({}, 'HS256', new TextEncoder().encode('x'.repeat(32)))}`,
    "The token was not signed with this service's secret.",
  ],
  [
    'another algorithm',
    async () => `Bearer ${await token({}, 'HS512')}`,
    'The token must be signed by HS256.',
  ],
  [
    'no signature',
    async () => `Bearer ${new UnsecuredJWT({ role: 'admin', sub: 'x' }).setExpirationTime('1h').encode()}`,
    'The token must be signed by HS256.',
  ],
  ['an old token', async () => `Bearer ${await token({ exp: 1 })}`, 'The token has expired; get a new one.'],
  [
    'a token for ever',
    async () => `Bearer ${await token({ exp: undefined })}`,
    'The token needs a claim "exp", the time when it expires.',
  ],
  [
    'a token of tomorrow',
    async () => `Bearer ${await token({ nbf: Math.floor(Date.now() / 1000) + 3_600 })}`,
    'The token\'s claim "nbf" does not hold.',
  ],
  [
    'an unknown role',
    async () => `Bearer ${await token({ role: 'root' })}`,
    'The token\'s claim "role" must be one of viewer, editor, admin.',
  ],
  [
    'no subject',
    async () => `Bearer ${await token({ sub: undefined })}`,
    'The token needs a claim "sub" that says whose it is.',
  ],
  [
    'an endless subject',
    async () => `Bearer ${await token({ sub: 'x'.repeat(256) })}`,
    'The token\'s claim "sub" must have 1 to 255 characters, no control characters.',
  ],
])('%s is refused', async (_what, authorization, message) => {
  expect(await refusal(await authorization())).toBe(message);
});
