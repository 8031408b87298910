import { describe, expect, test } from 'vitest';
import { createEndableStream } from '../../src/http/endable-stream.ts';

const over = { done: true, value: undefined };

/** A stream of what `push` is given, which counts its ends. */
function started() {
  const asked: PromiseWithResolvers<IteratorResult<string, unknown>>[] = [];
  let ends = 0;
  const stream = createEndableStream<string>(
    () => {
      const answer = Promise.withResolvers<IteratorResult<string, unknown>>();
      asked.push(answer);
      return answer.promise;
    },
    () => {
      ends += 1;
    },
  );
  return {
    stream,
    ends: () => ends,
    answer: (value: string) => asked.shift()?.resolve({ done: false, value }),
    finish: () => asked.shift()?.resolve({ done: true, value: 'ignored' }),
    fail: (error: Error) => asked.shift()?.reject(error),
  };
}

describe('a stream that can be ended', () => {
  test('hands out what it is answered, and has ended when there is nothing more', async () => {
    const { stream, answer, finish, ends } = started();
    const first = stream.next();
    answer('a');
    expect([await first, ends()]).toEqual([{ done: false, value: 'a' }, 0]);
    const second = stream.next();
    finish();
    expect([await second, await stream.next(), ends()]).toEqual([over, over, 1]);
  });

  test('has ended when its source fails, and says why once', async () => {
    const { stream, fail, ends } = started();
    const waiting = stream.next();
    fail(new Error('out'));
    await expect(waiting).rejects.toThrow('out');
    expect([await stream.next(), ends()]).toEqual([over, 1]);
  });

  test('ends for who waits, at once, and drops what comes then', async () => {
    const { stream, answer, ends } = started();
    const waiting = stream.next();
    stream.end();
    expect([await waiting, ends()]).toEqual([over, 1]);
    answer('late');
    expect(await stream.next()).toEqual(over);
  });

  test.each([true, false])('ends behind a last value, also for who waits (%s)', async (waits) => {
    const { stream, ends } = started();
    const waiting = waits ? stream.next() : null;
    stream.end('last');
    expect(ends()).toBe(1);
    const next = waiting ?? stream.next();
    expect([await next, await stream.next()]).toEqual([{ done: false, value: 'last' }, over]);
  });

  test('ends when it is returned, for who waits too, and hands out nothing more', async () => {
    const { stream, ends } = started();
    const waiting = stream.next();
    expect([await stream.return?.(), await waiting, ends()]).toEqual([over, over, 1]);
    const other = started();
    other.stream.end('last');
    expect([await other.stream.return?.(), await other.stream.next(), other.ends()]).toEqual([over, over, 1]);
  });

  test('ends once, however often it is told', async () => {
    const { stream, ends, fail } = started();
    const waiting = stream.next();
    stream.end('first');
    stream.end('second');
    fail(new Error('unheard'));
    await stream.return?.();
    expect([await waiting, await stream.next(), ends()]).toEqual([{ done: false, value: 'first' }, over, 1]);
  });
});
