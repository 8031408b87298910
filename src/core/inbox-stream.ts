import type { Inbox } from './inbox.ts';
import type { ProvisioningEvent } from './model.ts';

export type EventStream = AsyncIterableIterator<ProvisioningEvent>;

/**
 * The values of `run`, which reads from `inbox`. `return` closes the inbox first, since a generator that waits for its
 * next event would hear of it only after that event; however the stream ends, the inbox is closed.
 */
export function streamOf(inbox: Inbox, run: () => AsyncGenerator<ProvisioningEvent, void>): EventStream {
  const values = (async function* () {
    try {
      yield* run();
    } finally {
      inbox.close();
    }
  })();
  return {
    next: () => values.next(),
    return() {
      inbox.close();
      return values.return(undefined);
    },
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
