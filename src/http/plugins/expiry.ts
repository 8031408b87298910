import { isAsyncIterable } from '@envelop/core';
import { type ExecutionResult, GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { UnauthenticatedError } from '../../core/errors.ts';
import { whenItIs } from '../../core/timer.ts';
import type { GraphqlContext } from '../../schema/context.ts';

/** Ends a subscription when its caller's token expires: with an error that says so, and then it is complete. */
export function useExpiry(): Plugin<Partial<GraphqlContext>> {
  return {
    onSubscribe: ({ args }) => ({
      onSubscribeResult({ result, setResult }) {
        const expiresAt = args.contextValue.principal?.expiresAt;
        if (expiresAt !== undefined && isAsyncIterable(result)) setResult(until(expiresAt, result));
      },
    }),
  };
}

/** The stream's results before `time`. */
function until(
  time: number,
  stream: AsyncIterable<ExecutionResult>,
): AsyncIterableIterator<ExecutionResult, void> {
  const iterator = stream[Symbol.asyncIterator]();
  let state: 'open' | 'expired' | 'over' = 'open';
  const nobody = () => {};
  /** Answers who waits for the next result. */
  let wake = nobody;

  const timer = whenItIs(time, () => {
    state = 'expired';
    iterator.return?.().catch(() => {});
    wake();
  });

  function end(): IteratorReturnResult<undefined> {
    state = 'over';
    timer[Symbol.dispose]();
    return { done: true, value: undefined };
  }

  function next(): Promise<IteratorResult<ExecutionResult, void>> {
    if (state === 'open') {
      const answer = Promise.withResolvers<IteratorResult<ExecutionResult, void>>();
      wake = () => answer.resolve(next());
      iterator.next().then(
        (result) => {
          wake = nobody;
          answer.resolve(result.done ? end() : result);
        },
        (error: unknown) => {
          wake = nobody;
          end();
          answer.reject(error);
        },
      );
      return answer.promise;
    }
    if (state === 'over') return Promise.resolve(end());
    end();
    return Promise.resolve({ done: false, value: { errors: [expired()] } });
  }

  return {
    next,
    async return() {
      end();
      await iterator.return?.();
      return { done: true, value: undefined };
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}

function expired(): GraphQLError {
  const originalError = new UnauthenticatedError(
    'The token has expired; get a new one and subscribe again, with the last sequence as `after` where there is one.',
  );
  return new GraphQLError(originalError.message, { originalError });
}
