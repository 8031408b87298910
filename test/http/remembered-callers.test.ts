import { expect, test } from 'vitest';
import { UnauthenticatedError } from '../../src/core/errors.ts';
import { rememberCallers } from '../../src/http/remembered-callers.ts';

/** Who asks again and again: what is verified, and at which time, milliseconds. */
function remembering(expiresAt: number) {
  const verified: (string | undefined)[] = [];
  let now = 0;
  const authenticate = rememberCallers(
    async (authorization) => {
      verified.push(authorization);
      if (authorization === undefined || authorization === 'bad') throw new UnauthenticatedError('no');
      return { subject: authorization, role: 'viewer', expiresAt };
    },
    () => now,
  );
  return {
    verified,
    at(time: number, authorization: string | undefined) {
      now = time;
      return authenticate(authorization);
    },
  };
}

test('a token is verified once a minute', async () => {
  const { at, verified } = remembering(Infinity);
  const first = await at(0, 'a');
  expect(first).toEqual({ subject: 'a', role: 'viewer', expiresAt: Infinity });
  expect(await at(59_999, 'a')).toBe(first);
  expect(verified).toEqual(['a']);
  await at(60_000, 'a');
  expect(verified).toEqual(['a', 'a']);
});

test('it is not believed longer than it is valid', async () => {
  const { at, verified } = remembering(5_000);
  await at(0, 'a');
  await at(4_999, 'a');
  expect(verified).toEqual(['a']);
  await at(5_000, 'a');
  expect(verified).toEqual(['a', 'a']);
});

test('each token is a caller of its own', async () => {
  const { at } = remembering(Infinity);
  await at(0, 'a');
  expect(await at(0, 'b')).toMatchObject({ subject: 'b' });
  expect(await at(0, 'a')).toMatchObject({ subject: 'a' });
});

test('what is refused is not remembered, nor is that there was no token', async () => {
  const { at, verified } = remembering(Infinity);
  for (const authorization of ['bad', 'bad', undefined, undefined]) {
    await expect(at(0, authorization)).rejects.toThrow(UnauthenticatedError);
  }
  expect(verified).toEqual(['bad', 'bad', undefined, undefined]);
});

test('a thousand are remembered, the newest', async () => {
  const { at, verified } = remembering(Infinity);
  for (let n = 0; n <= 1_000; n++) await at(0, `token ${n}`);
  verified.length = 0;
  await at(0, 'token 1000');
  await at(0, 'token 1');
  expect(verified).toEqual([]);
  await at(0, 'token 0');
  expect(verified).toEqual(['token 0']);
});
