import type { DatabaseSettings } from '../db/database-settings.ts';
import { ConfigError } from './config-error.ts';
import { flags } from './flags.ts';
import { isLoopback } from './hosts.ts';
import type { Settings } from './settings.ts';

/** Where a pooler stands in front of the database. */
export interface Pooler {
  readonly host: string;
  readonly port: number;
}

/**
 * How long a lease's slot is nobody's behind a pooler, milliseconds. The pooler asks for a password once; a client that
 * is still there when the lease is over is sent away before that time by the limits of `deploy/pgbouncer/pgbouncer.ini`.
 */
export const slotRestMs = 90_000;

/** What PgBouncer listens on unless it is told otherwise. */
const usualPort = 6432;

/**
 * The pooler that leases are to name. Its host alone has PgBouncer's usual port; its port alone is one of the database's
 * own machine.
 * @param database null: the embedded one
 * @returns null when neither is given
 * @throws ConfigError when that is the database itself
 */
export function poolerOf(settings: Settings, database: DatabaseSettings | null): Pooler | null {
  const host = settings.given(flags.poolerHost);
  const port = settings.given(flags.poolerPort);
  if (host === undefined && port === undefined) return null;
  const pooler = { host: host ?? database?.host ?? '127.0.0.1', port: port ?? usualPort };
  if (database !== null && isSamePlace(pooler, database)) {
    throw new ConfigError(
      `--pooler-host, --pooler-port take a pooler in front of the database, not the database itself at ${database.host}:${database.port}`,
    );
  }
  return pooler;
}

function isSamePlace(one: Pooler, other: Pooler): boolean {
  if (one.port !== other.port) return false;
  return one.host === other.host || (isLoopback(one.host) && isLoopback(other.host));
}
