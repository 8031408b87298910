import { AsyncLocalStorage } from 'node:async_hooks';

/** A signal, or what makes it once somebody asks: most requests end before anything is worth cancelling. */
export type SignalSource = AbortSignal | (() => AbortSignal);

const signals = new AsyncLocalStorage<SignalSource | undefined>();

/**
 * Runs `work` so that everything it awaits belongs to `signal`: the database adapter ends the statements of an
 * aborted signal instead of letting them run on for nobody.
 */
export function withCancellation<T>(signal: SignalSource, work: () => T): T {
  return signals.run(signal, work);
}

/** Runs `work` to its end, also when the request that it came with is aborted. */
export function withoutCancellation<T>(work: () => T): T {
  return signals.run(undefined, work);
}

/** The signal that the current asynchronous work belongs to, if any. */
export function currentSignal(): AbortSignal | undefined {
  const signal = signals.getStore();
  return typeof signal === 'function' ? signal() : signal;
}

/**
 * What `work` comes to, as long as the current work is wanted: somebody who shares work with others leaves it to them when
 * its own signal is aborted. @throws that signal's reason
 */
export async function untilCancelled<T>(work: T | Promise<T>): Promise<T> {
  const signal = currentSignal();
  if (signal === undefined || !(work instanceof Promise)) return work;
  return new Promise((resolve, reject) => {
    const leave = () => reject(signal.reason);
    const stay = () => signal.removeEventListener('abort', leave);
    signal.addEventListener('abort', leave, { once: true });
    work.then(resolve, reject).finally(stay);
    if (signal.aborted) leave();
  });
}
