import { createInbox } from './inbox.ts';
import { type EventStream, streamOf } from './inbox-stream.ts';
import type { ProvisioningEvent } from './model.ts';
import type { WatchOptions } from './watch.ts';

const pageLimit = 500;

/**
 * The events of one tenant behind sequence `after`, then live; ends when the last event is out and the tenant has no
 * unfinished operation.
 */
export function watchOne(
  { history, feed, rereadIntervalMs }: WatchOptions,
  tenantId: string,
  after: number,
): EventStream {
  // Armed before the first read, so whatever the read misses is in it.
  const inbox = createInbox(feed, rereadIntervalMs, (event) => event.tenantId === tenantId);
  return streamOf(inbox, async function* () {
    let last = after;
    let stale = true;
    for (;;) {
      if (stale) {
        const page = await history.after(tenantId, last, pageLimit);
        for (const event of page.events) {
          last = event.sequence;
          yield event;
        }
        stale = page.events.length === pageLimit;
        if (!stale && !page.unfinished) return;
        continue;
      }
      const next = await inbox.next();
      if (next === 'closed') return;
      if (next === 'resync' || next.sequence > last + 1) {
        stale = true;
        continue;
      }
      if (next.sequence === last + 1) {
        last = next.sequence;
        yield next;
      }
      // Whether another operation has begun, only a snapshot knows. Also for who began behind this event, at a place
      // that the tenant had not reached.
      stale = endsOperation(next);
    }
  });
}

function endsOperation({ operationState }: ProvisioningEvent): boolean {
  return operationState !== 'PENDING' && operationState !== 'RUNNING';
}
