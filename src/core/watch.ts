import type { EventStream } from './inbox-stream.ts';
import type { EventFeed, EventHistory } from './ports.ts';
import { watchMany } from './watch-many.ts';
import { watchOne } from './watch-one.ts';

export interface WatchOptions {
  readonly history: EventHistory;
  readonly feed: Pick<EventFeed, 'subscribe'>;
  /** At the latest after this long the history is read again, milliseconds. */
  readonly rereadIntervalMs: number;
}

export interface Watch {
  /** Follows one tenant from behind sequence `after` to the end of its work. */
  one(tenantId: string, after: number): EventStream;
  /** Follows many tenants, all when `tenantIds` is null, from now on and without end. */
  many(tenantIds: readonly string[] | null): Promise<EventStream>;
}

/** Streams that lose nothing: PostgreSQL is the truth, the live feed only says what came. */
export function createWatch(options: WatchOptions): Watch {
  return {
    one: (tenantId, after) => watchOne(options, tenantId, after),
    many: (tenantIds) => watchMany(options, tenantIds),
  };
}
