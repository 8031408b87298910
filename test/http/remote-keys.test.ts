import { jwtVerify } from 'jose';
import { pino } from 'pino';
import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { DomainError } from '../../src/core/errors.ts';
import { createRemoteKeys, type KeyTimings } from '../../src/http/remote-keys.ts';
import { eventually } from '../support/eventually.ts';
import { createSigningKey, type KeyServer, type SigningKey, startKeyServer } from '../support/key-server.ts';

const never = 3_600_000;
const timings: KeyTimings = {
  timeoutMs: 5_000,
  freshMs: never,
  staleMs: never,
  cooldownMs: never,
  retryMs: 0,
};

let old: SigningKey;
let young: SigningKey;
let server: KeyServer;
let logged: string[];

beforeAll(async () => {
  [old, young] = await Promise.all([createSigningKey('old'), createSigningKey('young')]);
});
beforeEach(async () => {
  logged = [];
  server = await startKeyServer([old]);
});
afterEach(() => server[Symbol.asyncDispose]());

/** Checks a token of a key; the answer is `good`, or why not. */
function checker(over: Partial<KeyTimings> = {}): (key: SigningKey) => Promise<string> {
  const log = pino({}, { write: (text) => void logged.push(JSON.parse(text).msg) });
  const keys = createRemoteKeys({ url: server.url, log, timings: { ...timings, ...over } });
  return async (key) => {
    try {
      await jwtVerify(await key.sign(), keys);
      return 'good';
    } catch (error) {
      return error instanceof DomainError ? error.code : String(Reflect.get(Object(error), 'code'));
    }
  };
}

const unknown = 'ERR_JWKS_NO_MATCHING_KEY';
const line = 'the keys that tokens are checked with cannot be fetched (--auth-jwks-url)';

test('keys are fetched once, at the start, however many tokens come', async () => {
  const check = checker();
  expect(await Promise.all(Array.from({ length: 20 }, () => check(old)))).toEqual(Array(20).fill('good'));
  expect(await check(old)).toBe('good');
  expect(server.asked).toBe(1);
});

test('a key that is not known is looked for at once, and then not before the cool-down is over', async () => {
  const check = checker();
  expect(await check(old)).toBe('good');
  await server.answer([old, young]);
  expect(await check(young)).toBe('good');
  expect(server.asked).toBe(2);

  const stranger = await createSigningKey('stranger');
  expect(await Promise.all([check(stranger), check(stranger), check(old)])).toEqual([
    unknown,
    unknown,
    'good',
  ]);
  expect(server.asked).toBe(2);
});

test('after the cool-down an unknown key is looked for again', async () => {
  const check = checker({ cooldownMs: 100 });
  expect(await check(old)).toBe('good');
  expect(await check(young)).toBe(unknown);
  await server.answer([young]);
  await eventually(async () => (await check(young)) === 'good', 5_000);
  // A key that was taken back is no good any more.
  await eventually(async () => (await check(old)) === unknown, 5_000);
});

test('keys that are not fresh are fetched before they are used', async () => {
  const check = checker({ freshMs: 0 });
  expect(await check(old)).toBe('good');
  await server.answer([young]);
  expect(await check(old)).toBe(unknown);
});

test.each(['error', 'nothing'] as const)(
  'when the key server answers %s, the old keys go on being good for a while',
  async (how) => {
    const check = checker({ timeoutMs: 200, freshMs: 0, staleMs: 4_000, retryMs: 100 });
    expect(await check(old)).toBe('good');
    await server.answer(how);
    expect(await check(old)).toBe('good');
    expect(await check(old)).toBe('good');
    // Whether this one is good nobody knows.
    expect(await check(young)).toBe('UNAVAILABLE');
    expect(logged).toContain(line);
    await eventually(async () => (await check(old)) === 'UNAVAILABLE', 10_000);
    await server.answer([young]);
    await eventually(async () => (await check(young)) === 'good', 5_000);
  },
);

test('while the key server is out, an unknown key may be a good one, also in the cool-down', async () => {
  const check = checker({ freshMs: 0 });
  expect(await check(young)).toBe(unknown);
  await server.answer('error');
  expect(await check(old)).toBe('good');
  expect(await check(young)).toBe('UNAVAILABLE');
});

test('without keys nobody is refused as a stranger, and nobody waits for longer than a fetch may take', async () => {
  await server.answer('nothing');
  const check = checker({ timeoutMs: 200, retryMs: never });
  const started = performance.now();
  expect(await Promise.all([check(old), check(young)])).toEqual(['UNAVAILABLE', 'UNAVAILABLE']);
  expect(performance.now() - started).toBeLessThan(4_000);
  expect(logged).toEqual([line]);
  // It is not asked again for every token.
  await server.answer([old]);
  expect(await check(old)).toBe('UNAVAILABLE');
  expect(server.asked).toBe(1);
});

test.each(['{"keys":[7]}', '{}', '<html>'])('a key set of %j leaves the keys as they are', async (text) => {
  const check = checker({ freshMs: 0 });
  expect(await check(old)).toBe('good');
  server.answerText(text);
  expect(await check(old)).toBe('good');
  expect(logged).toEqual([line]);
});
