import { AsyncResource } from 'node:async_hooks';
import { Socket } from 'node:net';
import pg from 'pg';
import type { DatabaseSettings } from './database-settings.ts';
import { sessionSettings } from './session-settings.ts';
import { cancelStatementsOfAborted } from './statement-cancellation.ts';

/** What the service's own connections to the registry are called, by which others see that it runs. */
export const serviceConnections = 'tenant-management-service';

export interface PoolOptions {
  /** Connections at most. */
  readonly max: number;
  /** Shown in pg_stat_activity. */
  readonly name: string;
  readonly onError: (error: Error) => void;
  /**
   * How long a statement waits for a lock, milliseconds. Nobody here holds one for long; one that somebody else holds
   * must not take all connections of the pool with it.
   */
  readonly lockTimeoutMs?: number;
}

export interface PoolUsage {
  readonly active: number;
  readonly idle: number;
  /** Requests that wait for a connection. */
  readonly waiting: number;
  readonly max: number;
}

/**
 * A pool of connections to the registry's database. Its statements obey the signal of whoever runs them.
 */
export function createPool(
  settings: DatabaseSettings,
  { max, name, onError, lockTimeoutMs }: PoolOptions,
): pg.Pool {
  const ownContext = new AsyncResource('RegistryPool');
  const pool = new pg.Pool({
    ...settings,
    stream: () => socketIn(ownContext),
    max,
    application_name: name,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    // What is not awaited travels with what comes next.
    pipeline: true,
    onConnect: async (client) => {
      await client.query(sessionSettings(lockTimeoutMs));
    },
  });
  // A connection that breaks is replaced at the next use; without listeners it would end the process. One that breaks
  // in somebody's hands fails their statement too.
  const report = (error: Error) => {
    if (!pool.ending) onError(error);
  };
  pool.on('error', () => {});
  pool.on('connect', (client) => {
    client.on('error', report);
    sendTogether(client);
  });
  cancelStatementsOfAborted(pool, settings, report);
  return pool;
}

/**
 * What a connection's events call runs in the context in which its socket was opened. That must not be the request that
 * happened to need one more connection: its signal would follow the connection to everybody who listens on it.
 */
function socketIn(context: AsyncResource): Socket {
  const socket = new Socket();
  const { connect } = socket;
  const detached = (...args: unknown[]) =>
    context.runInAsyncScope(() => Reflect.apply(connect, socket, args));
  Reflect.set(socket, 'connect', detached);
  return socket;
}

/**
 * What is sent in one turn of the event loop travels in one packet: BEGIN with the first statement, COMMIT with the last.
 */
function sendTogether(client: pg.PoolClient): void {
  if (!(client instanceof pg.Client)) return;
  const { stream } = client.connection;
  const { query } = client;
  let gathering = false;
  const send = () => {
    gathering = false;
    stream.uncork();
  };
  const gathered = (...args: unknown[]): unknown => {
    if (!gathering) {
      gathering = true;
      stream.cork();
      process.nextTick(send);
    }
    return Reflect.apply(query, client, args);
  };
  Reflect.set(client, 'query', gathered);
}

export function poolUsage(pool: pg.Pool): PoolUsage {
  return {
    active: pool.totalCount - pool.idleCount,
    idle: pool.idleCount,
    waiting: pool.waitingCount,
    max: pool.options.max,
  };
}
