import { isAsyncIterable } from '@envelop/core';
import type { Plugin } from 'graphql-yoga';
import { withCancellation } from '../../core/cancellation.ts';
import { withinLimit } from '../time-limit.ts';

/**
 * What an operation awaits belongs to its request: when the client goes away, its statements end. So they do when a query
 * or a mutation takes longer than `limitMs` milliseconds.
 */
export function useCancellation(limitMs: number): Plugin {
  return {
    onExecute({ executeFn, setExecuteFn, context }) {
      const { signal } = context.request;
      setExecuteFn((args) =>
        withinLimit(
          limitMs,
          () => signal,
          () => executeFn(args),
        ),
      );
    },
    onSubscribe({ subscribeFn, setSubscribeFn, context }) {
      const { signal } = context.request;
      setSubscribeFn(async (args) => {
        const result = await withCancellation(signal, () => subscribeFn(args));
        return isAsyncIterable(result) ? steps(signal, result) : result;
      });
    },
  };
}

/** A stream whose every step belongs to `signal`; it is asked for the next value from nowhere in particular. */
function steps<T>(signal: AbortSignal, stream: AsyncIterable<T>): AsyncIterableIterator<T> {
  const iterator = stream[Symbol.asyncIterator]();
  return {
    next: () => withCancellation(signal, () => iterator.next()),
    return: async () => {
      await iterator.return?.();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
