import type { Borrowed } from './tenant.ts';
import type { Waiter } from './turns.ts';

export interface AskingOptions {
  /** Of the caller: who is gone asks no more. */
  readonly signal: AbortSignal | undefined;
  /** Takes it out of the queue. */
  readonly leave: (waiter: Waiter) => void;
  /** A connection that was opened for somebody who is gone. */
  readonly unwanted: (borrowed: Borrowed) => void;
}

/** Somebody who asks for a connection. */
export interface Asking {
  readonly waiter: Waiter;
  readonly answer: Promise<Borrowed>;
  /** Gives up after `ms` milliseconds if `reason` then has one. */
  giveUpAfter(ms: number, reason: () => Error | null): void;
}

export function createAsking({ signal, leave, unwanted }: AskingOptions): Asking {
  const { promise: answer, resolve, reject } = Promise.withResolvers<Borrowed>();
  let deadline: NodeJS.Timeout | undefined;
  let isGone = false;

  function settled(): void {
    clearTimeout(deadline);
    signal?.removeEventListener('abort', onAbort);
  }
  function giveUp(reason: unknown): void {
    isGone = true;
    settled();
    leave(waiter);
    reject(reason);
  }
  function onAbort(): void {
    giveUp(signal?.reason);
  }

  const waiter: Waiter = {
    taken(connection, suspicions) {
      settled();
      if (isGone) unwanted({ connection, suspicions });
      else resolve({ connection, suspicions });
    },
    failed(error) {
      settled();
      reject(error);
    },
  };
  signal?.addEventListener('abort', onAbort, { once: true });
  return {
    waiter,
    answer,
    giveUpAfter(ms, reason) {
      deadline = setTimeout(() => {
        const error = reason();
        if (error !== null) giveUp(error);
      }, ms);
    },
  };
}
