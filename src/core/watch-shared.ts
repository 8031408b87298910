import { withoutCancellation } from './cancellation.ts';
import type { EventStream } from './inbox-stream.ts';
import type { ProvisioningEvent } from './model.ts';
import type { EventHistory } from './ports.ts';
import type { WatchOptions } from './watch.ts';
import { type Standing, watchMany } from './watch-many.ts';
import { createWatcher, type Watcher } from './watcher.ts';
import { withinTime } from './within-time.ts';

interface SharedStream {
  /** A stream of one's own: whatever is committed after the promise is fulfilled, nothing from before the call. */
  join(): Promise<EventStream>;
}

/**
 * Streams of the events of many tenants, all when `tenantIds` is null. Those of the same tenants share one that listens
 * and reads the history for all of them; it lives as long as one of them does. Each has a bounded queue, so a slow one
 * holds nobody up: when its queue is full it goes on alone, from the history.
 */
export function createSharedWatch(
  options: WatchOptions,
): (tenantIds: readonly string[] | null) => Promise<EventStream> {
  const open = new Map<string, SharedStream>();
  return (tenantIds) => {
    const key = tenantIds?.toSorted().join() ?? 'all';
    const known = open.get(key);
    if (known !== undefined) return known.join();
    const shared = share(options, tenantIds, () => {
      // The next one may have begun: this one ends once more when a read fails that nobody waits for.
      if (open.get(key) === shared) open.delete(key);
    });
    open.set(key, shared);
    return shared.join();
  };
}

/** @param onEnd called when it can be joined no more */
function share(options: WatchOptions, tenantIds: readonly string[] | null, onEnd: () => void): SharedStream {
  const source = watchMany({ ...options, history: withLimits(options.history) }, tenantIds, null);
  const watchers = new Set<Watcher>();
  const joining = new Set<PromiseWithResolvers<EventStream>>();
  let wanted = Promise.withResolvers<void>();

  function leave(watcher: Watcher): void {
    if (!watchers.delete(watcher)) return;
    wanted.resolve();
    if (watchers.size > 0 || joining.size > 0) return;
    onEnd();
    void source.return?.();
  }

  function hand(event: ProvisioningEvent): void {
    wanted = Promise.withResolvers();
    // Copied once for all whose queues are full now.
    let full: Standing | null = null;
    for (const watcher of watchers) {
      if (watcher.push(event)) continue;
      full ??= source.standing();
      const from = full;
      watcher.goOnWith(() => watchMany(options, tenantIds, from));
      leave(watcher);
    }
  }

  function fail(reason: unknown): void {
    onEnd();
    for (const { reject } of joining) reject(reason);
    for (const watcher of watchers) watcher.goOnWith(() => failed(reason));
    watchers.clear();
  }

  async function run(): Promise<void> {
    try {
      for await (const event of source) {
        hand(event);
        // The fastest sets the pace: nobody's queue grows because events are read faster than anybody takes them.
        if (watchers.size > 0 && joining.size === 0) await wanted.promise;
      }
    } catch (error) {
      fail(error);
    }
  }
  // Nobody's work: whoever is the first may be the first to go.
  void withoutCancellation(run);

  return {
    join() {
      const begun = Promise.withResolvers<EventStream>();
      joining.add(begun);
      wanted.resolve();
      source.whenCaughtUp(() => {
        const watcher = createWatcher({ onWait: () => wanted.resolve(), onReturn: () => leave(watcher) });
        joining.delete(begun);
        watchers.add(watcher);
        begun.resolve(watcher.stream);
      });
      return begun.promise;
    },
  };
}

/** All wait for each read, and no client's leaving ends it: so its time does. */
function withLimits(history: EventHistory): EventHistory {
  return {
    after: (...query) => withinTime(() => history.after(...query)),
    since: (...query) => withinTime(() => history.since(...query)),
    clock: () => withinTime(() => history.clock()),
  };
}

async function* failed(reason: unknown): AsyncGenerator<ProvisioningEvent, void> {
  yield await Promise.reject(reason);
}
