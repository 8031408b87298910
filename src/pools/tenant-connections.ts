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
  /** How long closing one may take. */
  readonly closeMs: number;
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
  /** Closes one that is idle: of several, the one that came back last, as pg's pool hands them out. */
  closeIdle(): void;
}

/** One that cannot log in is closed at once; pg leaves that to the server. */
class LoginClient extends pg.Client {
  override connect(): Promise<pg.Client>;
  override connect(callback: (error: Error) => void): void;
  override connect(callback?: (error: Error) => void): Promise<pg.Client> | undefined {
    if (callback === undefined) return super.connect();
    super.connect((error: Error) => {
      if (error) this.connection.stream.destroy();
      callback(error);
    });
    return undefined;
  }
}

export function createTenantConnections(options: TenantConnectionsOptions): TenantConnections {
  const { server, role, schema, limits } = options;
  /** Sockets, and those that pg's pool is yet to open. */
  let open = 0;
  /** Those who were to get a new one and have nothing yet. */
  let opening = 0;
  /** How many of them pg's pool is yet to open one for: it does so at the next tick when there are idle ones. */
  let reserved = 0;
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
    ssl: server.ssl,
    user: role,
    password: options.password,
    application_name: 'tenant-management-service pool',
    // Whatever the role may have set for itself, sessions begin with this and RESET comes back to it.
    options: `-c search_path=${schema} -c lock_timeout=15s -c idle_in_transaction_session_timeout=60s`,
    Client: LoginClient,
    stream: () => {
      const socket = new Socket();
      if (reserved > 0) reserved--;
      else opened();
      socket.once('close', closed);
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
    if (!(client instanceof pg.Client)) return;
    // With TLS it is no longer the socket that the pool was given.
    const { stream } = client.connection;
    // Where the network is gone, the server's end of it never comes.
    stream.once('finish', () => setTimeout(() => stream.destroy(), limits.closeMs).unref());
  });

  function opened(): void {
    open++;
    options.onOpen();
  }

  function closed(): void {
    open--;
    options.onClose();
  }

  /** Who was to get a new one may have got one that came back meanwhile. */
  function returnReserved(): void {
    for (; reserved > opening; reserved--) closed();
  }

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
      return pool.totalCount + reserved - leaving;
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
      } else {
        opening++;
        reserved++;
        opened();
      }
      pool.connect((error, client, done) => {
        if (isIdle) asked--;
        else opening--;
        returnReserved();
        if (error) onFailed(error);
        else onTaken(lend(client, done));
      });
    },
    closeIdle() {
      idleReturns().pop();
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
