import type { ProvisioningEvent } from './model.ts';
import type { EventFeed } from './ports.ts';

/** Events that a watcher has not taken yet; with more of them it reads the history instead. */
export const inboxLimit = 1_000;

export interface Inbox {
  /**
   * The next event; `resync` when some may be missing, and once in every interval however much comes; `closed` for
   * ever after `close`.
   */
  next(): Promise<ProvisioningEvent | 'resync' | 'closed'>;
  /** Lets the next answer be `resync`; nothing is lost. */
  resync(): void;
  close(): void;
}

/**
 * Collects the live events that one watcher wants, from now on. Its queue is bounded: a slow watcher is told to read
 * the history again instead of holding memory.
 *
 * @param intervalMs how long a lost event may stay unnoticed, milliseconds. Events that come do not put it off: in a
 *   stream of many tenants they are not about the one whose last event was lost.
 */
export function createInbox(
  feed: Pick<EventFeed, 'subscribe'>,
  intervalMs: number,
  wants: (event: ProvisioningEvent) => boolean,
): Inbox {
  let queue: ProvisioningEvent[] = [];
  let lost = false;
  let closed = false;
  let due = performance.now() + intervalMs;
  let wake: (() => void) | null = null;

  function lose(): void {
    lost = true;
    queue = [];
  }

  const unsubscribe = feed.subscribe({
    event(event) {
      if (!wants(event) || lost) return;
      if (queue.length < inboxLimit) queue.push(event);
      else lose();
      wake?.();
    },
    resync() {
      lose();
      wake?.();
    },
  });

  function arrival(withinMs: number): Promise<void> {
    return new Promise((resolve) => {
      const finish = () => {
        clearTimeout(timer);
        wake = null;
        resolve();
      };
      const timer = setTimeout(finish, withinMs);
      wake = finish;
    });
  }

  return {
    async next() {
      for (;;) {
        if (closed) return 'closed';
        const now = performance.now();
        if (lost || now >= due) {
          lost = false;
          due = now + intervalMs;
          return 'resync';
        }
        const event = queue.shift();
        if (event !== undefined) return event;
        await arrival(due - now);
      }
    },
    resync() {
      due = 0;
      wake?.();
    },
    close() {
      closed = true;
      queue = [];
      unsubscribe();
      wake?.();
    },
  };
}
