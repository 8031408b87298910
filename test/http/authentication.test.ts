import { CompactSign, exportJWK, exportSPKI, SignJWT, UnsecuredJWT } from 'jose';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { UnauthenticatedError } from '../../src/core/errors.ts';
import { createAuthenticate } from '../../src/http/authentication.ts';
import { issueToken } from '../../src/http/token.ts';
import {
  audience,
  createSigningKey,
  goodClaims,
  issuer,
  type KeyServer,
  type SigningKey,
  startKeyServer,
} from '../support/key-server.ts';

const secret = new TextEncoder().encode('a secret that has at least 32 bytes');
const log = pino({ level: 'silent' });
const authenticate = createAuthenticate({ kind: 'secret', secret, issuer: null, audience: null }, log);

/** A token with these claims, good in every other way. */
function token(claims: Record<string, unknown>, algorithm = 'HS256', key = secret): Promise<string> {
  return new SignJWT({ role: 'viewer', sub: 'somebody', exp: Math.floor(Date.now() / 1000) + 60, ...claims })
    .setProtectedHeader({ alg: algorithm })
    .sign(key);
}

/** JSON knows numbers that are too large; jose signs none of them. */
async function endless(): Promise<string> {
  const payload = '{"role":"admin","sub":"x","exp":1e999}';
  return await new CompactSign(new TextEncoder().encode(payload))
    .setProtectedHeader({ alg: 'HS256' })
    .sign(secret);
}

/** The line that refuses the header. */
async function refusal(authorization: string | undefined, by = authenticate): Promise<string> {
  const error = await by(authorization).catch((thrown: unknown) => thrown);
  if (!(error instanceof UnauthenticatedError)) throw new Error(`not refused: ${JSON.stringify(error)}`);
  return error.message;
}

test.each(['viewer', 'editor', 'admin'] as const)('a token for a %s is one', async (role) => {
  const issued = await issueToken(secret, { subject: 'dashboard', role, expiresIn: 60 });
  expect(await authenticate(`Bearer ${issued}`)).toEqual({
    subject: 'dashboard',
    role,
    expiresAt: expect.toSatisfy((time) => Math.abs(time - Date.now() - 60_000) < 10_000),
  });
  expect(await authenticate(`bearer  ${issued} `)).toEqual({
    subject: 'dashboard',
    role,
    expiresAt: expect.toSatisfy((time) => Math.abs(time - Date.now() - 60_000) < 10_000),
  });
});

test('without a secret everybody is an admin', async () => {
  const open = createAuthenticate({ kind: 'none' }, log);
  expect(await open(undefined)).toEqual({ subject: 'anonymous', role: 'admin', expiresAt: Infinity });
  expect(await open('Bearer whatever')).toEqual({ subject: 'anonymous', role: 'admin', expiresAt: Infinity });
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
    'a token whose end is no time',
    async () => `Bearer ${await endless()}`,
    'The token\'s claim "exp" must be a number of seconds.',
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

test('with --auth-issuer and --auth-audience a token of the secret must have them too', async () => {
  const strict = createAuthenticate({ kind: 'secret', secret, issuer, audience }, log);
  expect(await refusal(`Bearer ${await token({})}`, strict)).toBe('The token\'s claim "iss" does not hold.');
  expect(await refusal(`Bearer ${await token({ iss: issuer })}`, strict)).toBe(
    'The token\'s claim "aud" does not hold.',
  );
  const good = await token({ iss: issuer, aud: ['others', audience] });
  expect(await strict(`Bearer ${good}`)).toMatchObject({ subject: 'somebody' });
});

describe('by a key set', () => {
  let rsa: SigningKey;
  let ec: SigningKey;
  let ed: SigningKey;
  let pss: SigningKey;
  let otherRsa: SigningKey;
  let server: KeyServer;
  let byKeys: ReturnType<typeof createAuthenticate>;

  beforeAll(async () => {
    [rsa, ec, ed, pss, otherRsa] = await Promise.all([
      createSigningKey('rsa'),
      createSigningKey('ec', 'ES256'),
      createSigningKey('ed', 'EdDSA'),
      createSigningKey('pss', 'PS256'),
      createSigningKey('rsa'),
    ]);
    server = await startKeyServer([rsa, ec, ed, pss]);
    byKeys = createAuthenticate({ kind: 'jwks', url: server.url, issuer, audience }, log);
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test('RS256, ES256 and EdDSA are taken', async () => {
    for (const key of [rsa, ec, ed]) {
      expect(await byKeys(`Bearer ${await key.sign({ role: 'editor' })}`)).toMatchObject({
        subject: 'somebody',
        role: 'editor',
      });
    }
  });

  const algorithms = 'The token must be signed by RS256 or ES256 or EdDSA.';
  /** A token that was signed with what everybody may know of a key, as if it were a secret. */
  async function confused(secretOf: string): Promise<string> {
    return new SignJWT(goodClaims())
      .setProtectedHeader({ alg: 'HS256', kid: rsa.kid })
      .sign(new TextEncoder().encode(secretOf));
  }

  test.each<[string, () => Promise<string>, string]>([
    ['no signature', async () => new UnsecuredJWT(goodClaims()).encode(), algorithms],
    ['the public key as a secret', async () => confused(await exportSPKI(rsa.publicKey)), algorithms],
    [
      'the public key as a secret, in JSON',
      async () => confused(JSON.stringify(await exportJWK(rsa.publicKey))),
      algorithms,
    ],
    ['an algorithm beside the list', () => pss.sign(), algorithms],
    [
      'the name of another kind of key',
      () => rsa.sign({}, { kid: ec.kid }),
      'The token was signed with a key that is not in the key set; get a new one.',
    ],
    [
      'another key of that name',
      () => otherRsa.sign(),
      'The token was not signed with the key that it names.',
    ],
    [
      'a key set of its own',
      async () =>
        otherRsa.sign({}, { jwk: await exportJWK(otherRsa.publicKey), jku: 'https://evil.example' }),
      'The token was not signed with the key that it names.',
    ],
    [
      'no name of its key',
      () => rsa.sign({}, { kid: undefined }),
      'The token must name its key: several of the key set may have signed it; its header needs a "kid".',
    ],
    ['another issuer', () => rsa.sign({ iss: `${issuer}/` }), 'The token\'s claim "iss" does not hold.'],
    ['no issuer', () => rsa.sign({ iss: undefined }), 'The token\'s claim "iss" does not hold.'],
    ['another audience', () => rsa.sign({ aud: ['others'] }), 'The token\'s claim "aud" does not hold.'],
    ['an old token', () => rsa.sign({ exp: 1 }), 'The token has expired; get a new one.'],
    [
      'a token for ever',
      () => rsa.sign({ exp: undefined }),
      'The token needs a claim "exp", the time when it expires.',
    ],
    ['no JWT', async () => 'a.b.c', 'The token is no valid JWT.'],
  ])('%s is refused', async (_what, sign, message) => {
    expect(await refusal(`Bearer ${await sign()}`, byKeys)).toBe(message);
  });
});
