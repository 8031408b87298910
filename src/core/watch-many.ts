import { createInbox } from './inbox.ts';
import { type EventStream, streamOf } from './inbox-stream.ts';
import type { ProvisioningEvent } from './model.ts';
import type { WatchOptions } from './watch.ts';

const pageLimit = 500;
/** An event may become visible this much later than the time that it carries: a transaction is open in between. */
const visibilityMs = 15_000;
/** Tenants whose place is kept although their last event is older than that. */
const remembered = 1_000;

const smallestId = '00000000-0000-0000-0000-000000000000';

/**
 * The events of many tenants (of all when `tenantIds` is null), each tenant's in order; never ends. Whatever is
 * committed after the promise is fulfilled is in the stream, nothing that was committed before the call.
 */
export async function watchMany(
  { history, feed, rereadIntervalMs }: WatchOptions,
  tenantIds: readonly string[] | null,
): Promise<EventStream> {
  const wanted = tenantIds === null ? null : new Set(tenantIds);
  const inbox = createInbox(
    feed,
    rereadIntervalMs,
    ({ tenantId }) => wanted === null || wanted.has(tenantId),
  );
  // Where each tenant stands that had an event in the window, which reaches from before the latest read to now; in the
  // order of their latest events.
  const places = new Map<string, Pick<ProvisioningEvent, 'sequence' | 'createdAt'>>();
  let windowStart: Date;

  try {
    windowStart = await visibleNow();
    for await (const event of window()) {
      if (event.sequence > (places.get(event.tenantId)?.sequence ?? 0)) moveTo(event);
    }
  } catch (error) {
    inbox.close();
    throw error;
  }

  return streamOf(inbox, async function* () {
    for (;;) {
      const next = await inbox.next();
      if (next === 'closed') return;
      if (next === 'resync') {
        yield* reread();
        continue;
      }
      const known = places.has(next.tenantId);
      // A tenant without a place had no event in the window: an older one was passed on, or is from before the stream.
      if (!known && next.createdAt < windowStart) continue;
      // Of a tenant that is not new only the history knows which event is its next.
      if (known || next.sequence === 1) yield* passOn(next);
      else yield* reread();
    }
  });

  async function visibleNow(): Promise<Date> {
    return new Date((await history.clock()).getTime() - visibilityMs);
  }

  function moveTo({ tenantId, sequence, createdAt }: ProvisioningEvent): void {
    places.delete(tenantId);
    places.set(tenantId, { sequence, createdAt });
  }

  /** The event, or what is missing up to it, or nothing when it was passed on before. */
  async function* passOn(event: ProvisioningEvent): AsyncGenerator<ProvisioningEvent, void> {
    const last = places.get(event.tenantId)?.sequence ?? event.sequence - 1;
    if (event.sequence <= last) return;
    if (event.sequence === last + 1) {
      moveTo(event);
      yield event;
      return;
    }
    for (let after = last, full = true; full; ) {
      const { events } = await history.after(event.tenantId, after, pageLimit);
      for (const missing of events) {
        after = missing.sequence;
        moveTo(missing);
        yield missing;
      }
      full = events.length === pageLimit;
    }
  }

  async function* reread(): AsyncGenerator<ProvisioningEvent, void> {
    const nextStart = await visibleNow();
    for await (const event of window()) yield* passOn(event);
    windowStart = nextStart;
    for (const [tenantId, { createdAt }] of places) {
      if (places.size <= remembered) break;
      if (createdAt < windowStart) places.delete(tenantId);
    }
  }

  async function* window(): AsyncGenerator<ProvisioningEvent, void> {
    let from = { createdAt: windowStart, tenantId: smallestId, sequence: 0 };
    for (;;) {
      const page = await history.since(from, tenantIds, pageLimit);
      yield* page;
      const last = page.at(-1);
      if (last === undefined || page.length < pageLimit) return;
      from = last;
    }
  }
}
