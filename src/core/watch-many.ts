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

type Place = Pick<ProvisioningEvent, 'sequence' | 'createdAt'>;

/** What a stream of many tenants has handed out. */
export interface Standing {
  /** Where each tenant stands that had an event in the window, which reaches from before the latest read to now. */
  readonly places: ReadonlyMap<string, Place>;
  /** Null before the first read. */
  readonly windowStart: Date | null;
}

export interface ManyStream extends EventStream {
  /** A copy, as of the event that was handed out last. */
  standing(): Standing;
  /**
   * Reads the history and calls back, within a `next`, when all is handed out that was committed before this call. What
   * is handed out behind the callback was committed after this call.
   */
  whenCaughtUp(callback: () => void): void;
}

/**
 * The events of many tenants (of all when `tenantIds` is null), each tenant's in order; never ends. It goes on where
 * another stream of these tenants stands (`from`); with null, whatever it hands out before it has caught up is to be
 * dropped.
 */
export function watchMany(
  { history, feed, rereadIntervalMs }: WatchOptions,
  tenantIds: readonly string[] | null,
  from: Standing | null,
): ManyStream {
  const wanted = tenantIds === null ? null : new Set(tenantIds);
  const inbox = createInbox(
    feed,
    rereadIntervalMs,
    ({ tenantId }) => wanted === null || wanted.has(tenantId),
  );
  // Without a place to begin at, the first `whenCaughtUp` begins.
  if (from !== null) inbox.resync();
  // In the order of the tenants' latest events.
  const places = new Map<string, Place>(from?.places);
  let windowStart = from?.windowStart ?? null;
  let waiting: (() => void)[] = [];

  const stream = streamOf(inbox, async function* () {
    for (;;) {
      const next = await inbox.next();
      if (next === 'closed') return;
      if (next === 'resync') {
        const callbacks = waiting;
        waiting = [];
        yield* reread();
        for (const callback of callbacks) callback();
        continue;
      }
      const known = places.has(next.tenantId);
      // A tenant without a place had no event in the window: an older one was passed on, or is from before the stream.
      if (!known && windowStart !== null && next.createdAt < windowStart) continue;
      // Of a tenant that is not new only the history knows which event is its next.
      if (known || next.sequence === 1) yield* passOn(next);
      else yield* reread();
    }
  });

  return {
    ...stream,
    standing: () => ({ places: new Map(places), windowStart }),
    whenCaughtUp(callback) {
      waiting.push(callback);
      inbox.resync();
    },
  };

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
    for await (const event of windowFrom(windowStart ?? nextStart)) yield* passOn(event);
    windowStart = nextStart;
    for (const [tenantId, { createdAt }] of places) {
      if (places.size <= remembered) break;
      if (createdAt < nextStart) places.delete(tenantId);
    }
  }

  async function* windowFrom(start: Date): AsyncGenerator<ProvisioningEvent, void> {
    let from = { createdAt: start, tenantId: smallestId, sequence: 0 };
    for (;;) {
      const page = await history.since(from, tenantIds, pageLimit);
      yield* page;
      const last = page.at(-1);
      if (last === undefined || page.length < pageLimit) return;
      from = last;
    }
  }
}
