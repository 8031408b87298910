import type pg from 'pg';
import type { DatabaseSettings } from './database-settings.ts';
import { endBackends } from './end-backends.ts';

/** The sessions that a pool has on the server. */
export interface PoolSessions {
  /**
   * Ends those on the server that are at work, in the middle of it: what nobody waits for any more must not go on there.
   * The idle ones stay, for whoever has to note that.
   */
  end(): Promise<void>;
}

/** Knows the sessions of a pool; call it before the pool is used. */
export function createPoolSessions(pool: pg.Pool, settings: DatabaseSettings): PoolSessions {
  const backends = new Map<pg.PoolClient, unknown>();
  pool.on('connect', (client) => void backends.set(client, Reflect.get(client, 'processID')));
  pool.on('remove', (client) => void backends.delete(client));
  return { end: () => endBackends(settings, [...backends.values()]) };
}
