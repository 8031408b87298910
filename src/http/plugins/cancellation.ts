import { type ExecutionResult, GraphQLError } from 'graphql';
import type { Plugin } from 'graphql-yoga';
import { withCancellation } from '../../core/cancellation.ts';
import { LimitExceededError } from '../../core/errors.ts';

/**
 * What a query or a mutation awaits belongs to its request: when the client goes away, its statements end. So they do
 * when it takes longer than `limitMs` milliseconds.
 */
export function useCancellation(limitMs: number): Plugin {
  return {
    onExecute({ executeFn, setExecuteFn, context }) {
      const { signal } = context.request;
      setExecuteFn((args) =>
        within(limitMs, signal, (either) => withCancellation(either, () => executeFn(args))),
      );
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
