import { currentSignal } from '../core/cancellation.ts';

/**
 * Lets `limit` pieces of work run at once, the others in the order in which they came.
 * @returns a function that runs its work in turn; it throws what the work throws, or that its signal was aborted before
 */
export function createGate(limit: number): <T>(work: () => Promise<T>) => Promise<T> {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (work) => {
    // Whoever ends hands its place on; it is never free in between.
    if (running < limit) running += 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      currentSignal()?.throwIfAborted();
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
