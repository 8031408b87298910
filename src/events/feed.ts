import type { Logger } from 'pino';
import type { ProvisioningEvent } from '../core/model.ts';
import type { EventFeed, FeedListener } from '../core/ports.ts';

export interface Feed extends EventFeed, AsyncDisposable {
  /** Whether other processes are reached; `off` when there are none to reach. Never rejects. */
  status(): Promise<'up' | 'down' | 'off'>;
}

/** Listeners of this process. One that throws does not keep the event from the others. */
export function createHub(log: Logger) {
  const listeners = new Set<FeedListener>();
  const each = (call: (listener: FeedListener) => void) => {
    for (const listener of listeners) {
      try {
        call(listener);
      } catch (error) {
        log.error({ err: error }, 'a listener of events failed');
      }
    }
  };
  return {
    dispatch: (event: ProvisioningEvent) => each((listener) => listener.event(event)),
    resync: () => each((listener) => listener.resync()),
    subscribe(listener: FeedListener) {
      listeners.add(listener);
      return () => void listeners.delete(listener);
    },
  };
}
