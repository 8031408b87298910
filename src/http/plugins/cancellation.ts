import type { Plugin } from 'graphql-yoga';
import { withinLimit } from '../time-limit.ts';

/**
 * What a query or a mutation awaits belongs to its request: when the client goes away, its statements end. So they do
 * when it takes longer than `limitMs` milliseconds.
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
  };
}
