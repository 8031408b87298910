import type { Plugin } from 'graphql-yoga';
import type { WithinLimit } from '../time-limit.ts';

/**
 * What a query or a mutation awaits belongs to its request: when the client goes away, its statements end. So they do
 * when it takes longer than it may.
 */
export function useCancellation(withinLimit: WithinLimit): Plugin {
  return {
    onExecute({ executeFn, setExecuteFn, context }) {
      const { signal } = context.request;
      setExecuteFn((args) =>
        withinLimit(
          () => signal,
          () => executeFn(args),
        ),
      );
    },
  };
}
