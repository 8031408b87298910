import { setImmediate as turn } from 'node:timers/promises';
import { afterEach, expect, test, vi } from 'vitest';
import { currentSignal, withCancellation } from '../../src/core/cancellation.ts';
import { UnavailableError } from '../../src/core/errors.ts';
import { readMs } from '../../src/core/within-time.ts';
import { createBatchedReads } from '../../src/db/batched-reads.ts';

afterEach(() => {
  vi.useRealTimers();
});

type Found = ReadonlyMap<string, string>;

/** Reads that are answered by hand. */
function held(atOnce: number, size = 100) {
  const reads: { keys: readonly string[]; answer: PromiseWithResolvers<Found> }[] = [];
  const find = createBatchedReads<string>({
    atOnce,
    size,
    read(keys) {
      const answer = Promise.withResolvers<Found>();
      reads.push({ keys, answer });
      return answer.promise;
    },
  });
  const asked = () => reads.map(({ keys }) => keys.join(''));
  const answer = (index: number) =>
    reads[index]?.answer.resolve(new Map(reads[index]?.keys.map((key) => [key, key.toUpperCase()])));
  return { find, reads, asked, answer };
}

test('who asks in the same turn is answered by one read', async () => {
  const { find, asked, reads } = held(2);
  const found = Promise.all(['a', 'b', 'c', 'a'].map(find));
  await turn();
  expect(asked()).toEqual(['abc']);
  reads[0]?.answer.resolve(
    new Map([
      ['a', 'A'],
      ['c', 'C'],
    ]),
  );
  expect(await found).toEqual(['A', null, 'C', 'A']);
});

test('who asks later is not answered by a read that has begun', async () => {
  const { find, asked, answer } = held(2);
  const first = find('a');
  await turn();
  const second = find('a');
  await turn();
  expect(asked()).toEqual(['a', 'a']);
  answer(1);
  expect(await second).toBe('A');
  answer(0);
  expect(await first).toBe('A');
});

test('beyond as many reads as may be, all wait for the next one', async () => {
  const { find, asked, answer } = held(1, 3);
  const found = [find('a')];
  await turn();
  found.push(...['b', 'c', 'd', 'e'].map(find));
  await turn();
  expect(asked()).toEqual(['a']);
  answer(0);
  await vi.waitFor(() => expect(asked()).toEqual(['a', 'bcd']));
  answer(1);
  await vi.waitFor(() => expect(asked()).toEqual(['a', 'bcd', 'e']));
  answer(2);
  expect(await Promise.all(found)).toEqual(['A', 'B', 'C', 'D', 'E']);
});

test('a read that fails fails for all of it, and gives its place on', async () => {
  const { find, reads, answer } = held(1);
  const failed = Promise.allSettled([find('a'), find('b')]);
  await turn();
  reads[0]?.answer.reject(new Error('broken'));
  expect(await failed).toEqual([
    { status: 'rejected', reason: new Error('broken') },
    { status: 'rejected', reason: new Error('broken') },
  ]);
  const next = find('c');
  await vi.waitFor(() => expect(reads).toHaveLength(2));
  answer(1);
  expect(await next).toBe('C');
});

test('who leaves does not take the read away from those who ask with him', async () => {
  const signals: (AbortSignal | undefined)[] = [];
  const find = createBatchedReads<string>({
    atOnce: 1,
    size: 2,
    read: async () => {
      signals.push(currentSignal());
      return new Map([['b', 'B']]);
    },
  });
  const leaving = new AbortController();
  const first = withCancellation(leaving.signal, () => find('a'));
  const second = find('b');
  leaving.abort();
  expect(await Promise.all([first, second])).toEqual([null, 'B']);
  expect(signals.map((signal) => signal?.aborted)).toEqual([false]);
});

test('what takes longer than a read may is ended', async () => {
  vi.useFakeTimers();
  const find = createBatchedReads<string>({
    atOnce: 1,
    size: 2,
    // Answers nothing until its statement is ended.
    read: () =>
      new Promise((_resolve, reject) => {
        currentSignal()?.addEventListener('abort', () => reject(new Error('ended')));
      }),
  });
  const failed = expect(find('a')).rejects.toThrow(UnavailableError);
  await vi.advanceTimersByTimeAsync(readMs);
  await failed;
});

test('who waits for a read to begin waits no longer than one may take, and is not read for then', async () => {
  vi.useFakeTimers();
  const { find, asked } = held(1, 1);
  const failed = ['a', 'b'].map((key) => expect(find(key)).rejects.toThrow(UnavailableError));
  await vi.advanceTimersByTimeAsync(readMs + 10);
  await Promise.all(failed);
  expect(asked()).toEqual(['a']);
});
