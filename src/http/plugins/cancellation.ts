import { isAsyncIterable } from '@envelop/core';
import { type ExecutionResult, GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { withCancellation } from '../../core/cancellation.ts';
import { LimitExceededError } from '../../core/errors.ts';

/**
 * What an operation awaits belongs to its request: when the client goes away, its statements end. So they do when a query
 * or a mutation takes longer than `limitMs` milliseconds.
 */
export function useCancellation(limitMs: number): Plugin {
  return {
    onExecute({ executeFn, setExecuteFn, context }) {
      const { signal } = context.request;
      setExecuteFn((args) =>
        within(limitMs, signal, (either) => withCancellation(either, () => executeFn(args))),
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

/** The work's result, or that it took too long: also where the work does not notice that its signal is aborted. */
async function within(
  limitMs: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<ExecutionResult>,
): Promise<ExecutionResult> {
  const late = new AbortController();
  const expired = Promise.withResolvers<ExecutionResult>();
  const timer = setTimeout(() => {
    const message = `The request took longer than ${limitMs / 1_000} seconds and was ended; ask for less at once.`;
    const originalError = new LimitExceededError(message);
    expired.resolve({ errors: [new GraphQLError(message, { originalError })] });
    late.abort();
  }, limitMs);
  try {
    return await Promise.race([expired.promise, work(AbortSignal.any([signal, late.signal]))]);
  } finally {
    clearTimeout(timer);
  }
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
