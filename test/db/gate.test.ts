import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { withCancellation } from '../../src/core/cancellation.ts';
import { createGate } from '../../src/db/gate.ts';

test('a gate lets so many in at once, the others in their order', async () => {
  const inTurn = createGate(2);
  const begun: number[] = [];
  const ends = [1, 2, 3, 4, 5].map(() => Promise.withResolvers<string>());
  const results = ends.map(({ promise }, index) =>
    inTurn(() => {
      begun.push(index);
      return promise;
    }),
  );
  await turn();
  expect(begun).toEqual([0, 1]);
  ends[1]?.resolve('second');
  expect(await results[1]).toBe('second');
  await turn();
  expect(begun).toEqual([0, 1, 2]);
  for (const { resolve } of ends) resolve('end');
  expect(await Promise.all(results)).toEqual(['end', 'second', 'end', 'end', 'end']);
  expect(begun).toEqual([0, 1, 2, 3, 4]);
});

test('work that fails gives its place on', async () => {
  const inTurn = createGate(1);
  const results = await Promise.allSettled([
    inTurn(() => Promise.reject(new Error('failed'))),
    inTurn(async () => 'next'),
  ]);
  expect(results).toEqual([
    { status: 'rejected', reason: new Error('failed') },
    { status: 'fulfilled', value: 'next' },
  ]);
});

test('who went away while waiting does not work any more', async () => {
  const inTurn = createGate(1);
  const first = Promise.withResolvers<void>();
  const running = inTurn(() => first.promise);
  const abort = new AbortController();
  let worked = false;
  const waiting = withCancellation(abort.signal, () =>
    inTurn(async () => {
      worked = true;
    }),
  );
  abort.abort(new Error('gone'));
  first.resolve();
  await expect(waiting).rejects.toThrow('gone');
  await running;
  expect(worked).toBe(false);
  expect(await inTurn(async () => 'open')).toBe('open');
});
