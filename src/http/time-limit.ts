import { type ExecutionResult, GraphQLError } from 'graphql';
import { withCancellation } from '../core/cancellation.ts';
import { LimitExceededError } from '../core/errors.ts';
import { Timeouts } from '../core/timeouts.ts';

/**
 * The work's result, or that it took too long: also where the work does not notice that it is called off. What it awaits
 * belongs to `signal`, which is asked for when something can be called off.
 */
export type WithinLimit = <T>(
  signal: () => AbortSignal,
  work: () => T | Promise<T>,
) => Promise<T | ExecutionResult>;

/** A limit for the time that work takes, milliseconds. */
export function createTimeLimit(limitMs: number): WithinLimit {
  const timeouts = new Timeouts(limitMs);
  return (signal, work) => withinLimit(limitMs, timeouts, signal, work);
}

async function withinLimit<T>(
  limitMs: number,
  timeouts: Timeouts,
  signal: () => AbortSignal,
  work: () => T | Promise<T>,
): Promise<T | ExecutionResult> {
  const expired = Promise.withResolvers<ExecutionResult>();
  let isLate = false;
  let ending: AbortController | undefined;

  function end(): void {
    const message = `The request took longer than ${limitMs / 1_000} seconds and was ended; ask for less at once.`;
    const originalError = new LimitExceededError(message);
    expired.resolve({ errors: [new GraphQLError(message, { originalError })] });
    isLate = true;
    ending?.abort();
  }

  /** Made when it is asked for: most requests are over before there is anything to call off. */
  function either(): AbortSignal {
    ending ??= endingWith(signal());
    if (isLate) ending.abort();
    return ending.signal;
  }

  using _ = timeouts.start(end);
  return await Promise.race([expired.promise, withCancellation(either, work)]);
}

/** Is aborted with `signal`. */
function endingWith(signal: AbortSignal): AbortController {
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true, signal: controller.signal });
  return controller;
}
