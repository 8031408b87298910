import type { EventStream } from './inbox-stream.ts';
import type { EventFeed, EventHistory } from './ports.ts';
import { watchOne } from './watch-one.ts';
import { createSharedWatch } from './watch-shared.ts';

export interface WatchOptions {
  readonly history: EventHistory;
  readonly feed: Pick<EventFeed, 'subscribe'>;
  /** At the latest after this long the history is read again, milliseconds. */
  readonly rereadIntervalMs: number;
}

export interface Watch {
  /** Follows one tenant from behind sequence `after` to the end of its work. */
  one(tenantId: string, after: number): EventStream;
  /**
   * Follows many tenants, all when `tenantIds` is null, without end. Whatever is committed after the promise is fulfilled
   * is in the stream, nothing that was committed before the call.
   */
  many(tenantIds: readonly string[] | null): Promise<EventStream>;
}

/** Streams that lose nothing: PostgreSQL is the truth, the live feed only says what came. */
export function createWatch(options: WatchOptions): Watch {
  return {
    one: (tenantId, after) => watchOne(options, tenantId, after),
    many: createSharedWatch(options),
  };
}
