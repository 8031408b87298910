import { newestVersion } from './version.ts';

/** With more of them it is cheaper to forget everything. */
const limit = 10_000;

/** Changes that Redis has yet to be told of: the newest of each tenant. */
export interface UnsentChanges {
  add(tenantId: string, version: number): void;
  /** Hands out what there is, which is the taker's from now on; `all` when there was too much. */
  take(): 'all' | ReadonlyMap<string, number>;
  /** Takes back what was handed out and could not be sent. */
  giveBack(changes: 'all' | ReadonlyMap<string, number>): void;
  isEmpty(): boolean;
}

export function createUnsentChanges(): UnsentChanges {
  let changes = new Map<string, number>();
  let all = false;

  function add(tenantId: string, version: number): void {
    if (all) return;
    changes.set(tenantId, newestVersion(changes.get(tenantId), version));
    if (changes.size > limit) loseCount();
  }

  function loseCount(): void {
    all = true;
    changes = new Map();
  }

  return {
    add,
    take() {
      const taken = all ? 'all' : changes;
      all = false;
      changes = new Map();
      return taken;
    },
    giveBack(taken) {
      if (taken === 'all') return loseCount();
      // What has come since is newer.
      const since = changes;
      changes = new Map(taken);
      for (const [tenantId, version] of since) add(tenantId, version);
    },
    isEmpty: () => !all && changes.size === 0,
  };
}
