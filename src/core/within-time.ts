import { currentSignal, untilCancelled, withCancellation } from './cancellation.ts';
import { UnavailableError } from './errors.ts';

/** How long a read may take that others wait for, milliseconds. */
export const readMs = 10_000;

/**
 * What `read` comes to, as long as the current work is wanted. When it takes longer than a read may, its statement is
 * ended; one that does not notice is left to itself.
 * @throws {UnavailableError} then
 */
export async function withinTime<T>(read: () => Promise<T>): Promise<T> {
  const outer = currentSignal();
  const ending = new AbortController();
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    ending.abort();
  }, readMs);
  const leave = () => ending.abort(outer?.reason);
  if (outer?.aborted) leave();
  outer?.addEventListener('abort', leave, { once: true });
  try {
    return await withCancellation(ending.signal, () => untilCancelled(read()));
  } catch (error) {
    throw isLate ? new UnavailableError({ cause: error }) : error;
  } finally {
    clearTimeout(timer);
    outer?.removeEventListener('abort', leave);
  }
}
