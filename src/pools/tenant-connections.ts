import { Socket } from 'node:net';
import pg from 'pg';
import type { TenantServer } from './tenant-session.ts';

/** When connections are replaced, milliseconds and numbers. */
export interface ConnectionLimits {
  /** A connection that nobody used for this long is closed. */
  readonly idleMs: number;
  /** A connection that is older than this is not lent again. */
  readonly ageMs: number;
  /** A connection is lent this many times. */
  readonly uses: number;
}

export interface TenantConnectionsOptions {
  readonly server: TenantServer;
  readonly role: string;
  readonly schema: string;
  /** Asked whenever one is opened. */
  readonly password: () => Promise<string>;
  readonly limits: ConnectionLimits;
  readonly onOpen: () => void;
  /** The server has ended it too. */
  readonly onClose: () => void;
  /** One broke, or the server ended it. */
  readonly onBroken: (error: Error) => void;
}

/** A connection in somebody's hands. */
export interface Connection {
  readonly client: pg.Client;
  /** For the next one; it must be as good as new. */
  giveBack(): void;
  close(): void;
}

/** The connections of one tenant: pg's pool, with what sharing a budget among many of them needs. */
export interface TenantConnections {
  /** Those that the server has, may have soon, or still has. */
  readonly open: number;
  /** Those of them that are not being closed. */
  readonly kept: number;
  /** Those of them that nobody uses. */
  readonly idle: number;
  /** Since when the one has been idle that was used least recently, by `performance.now()`; Infinity when none is. */
  readonly idleSince: number;
  /** Lends one that is idle, or opens one; the caller has seen to it that it may. */
  take(onTaken: (connection: Connection) => void, onFailed: (error: unknown) => void): void;
  /** Closes the one that has been idle for the longest time. */
  closeIdle(): void;
}

export function createTenantConnections(options: TenantConnectionsOptions): TenantConnections {
  const { server, role, schema, limits } = options;
  let open = 0;
  let newest: Socket | null = null;
  /** Idle ones that were asked for: pg's pool hands them out at the next tick. */
  let asked = 0;
  /** Those of them that are to be closed. */
  let leaving = 0;
  /** When idle ones came back, a stack like pg's: who is lent next was used last. */
  const returns: number[] = [];

  const pool = new pg.Pool({
    host: server.host,
    port: server.port,
    database: server.database,
    user: role,
    password: options.password,
    application_name: 'tenant-management-service pool',
    // Whatever the role may have set for itself, sessions begin with this and RESET comes back to it.
    options: `-c search_path=${schema} -c lock_timeout=15s -c idle_in_transaction_session_timeout=60s`,
    stream: () => {
      const socket = new Socket();
      newest = socket;
      open++;
      options.onOpen();
      socket.once('close', () => {
        open--;
        options.onClose();
      });
      return socket;
    },
    // Who asks is within the tenant's bounds already.
    max: 10_000,
    connectionTimeoutMillis: 5_000,
    idleTimeoutMillis: limits.idleMs,
    maxLifetimeSeconds: limits.ageMs / 1000,
    maxUses: limits.uses,
    keepAlive: true,
  });
  /** An idle one that breaks has left the pool when that is told. One in somebody's hands fails their statement too. */
  const lent = new WeakSet<pg.PoolClient>();
  pool.on('error', (error) => {
    // The whole client, which is nothing for a log.
    Reflect.deleteProperty(error, 'client');
    options.onBroken(error);
  });
  pool.on('connect', (client) => {
    client.on('error', (error) => {
      if (lent.has(client)) options.onBroken(error);
    });
  });

  const idle = () => pool.idleCount - asked;
  /** Idle ones may have been closed meanwhile; pg closes the oldest first. */
  function idleReturns(): number[] {
    returns.splice(0, returns.length - idle());
    return returns;
  }

  function lend(client: pg.PoolClient | undefined, done: (close?: boolean) => void): Connection {
    if (!(client instanceof pg.Client)) throw new Error('the pool lends something else than a connection');
    lent.add(client);
    return {
      client,
      giveBack() {
        lent.delete(client);
        done();
        if (idle() > returns.length) returns.push(performance.now());
      },
      close: () => done(true),
    };
  }

  return {
    get open() {
      return open;
    },
    get kept() {
      return pool.totalCount - leaving;
    },
    get idle() {
      return idle();
    },
    get idleSince() {
      return idleReturns()[0] ?? Number.POSITIVE_INFINITY;
    },
    take(onTaken, onFailed) {
      const isIdle = idle() > 0;
      if (isIdle) {
        idleReturns().pop();
        asked++;
      }
      pool.connect((error, client, done) => {
        if (isIdle) asked--;
        if (!error) return onTaken(lend(client, done));
        // What failed before it was logged in, pg leaves to the server to close.
        socket?.destroy();
        onFailed(error);
      });
      const socket = isIdle ? null : newest;
    },
    closeIdle() {
      idleReturns().shift();
      asked++;
      leaving++;
      pool.connect((_, __, done) => {
        asked--;
        leaving--;
        done(true);
      });
    },
  };
}
