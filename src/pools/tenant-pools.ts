import { AsyncResource } from 'node:async_hooks';
import { currentSignal } from '../core/cancellation.ts';
import { InvalidStateError, LimitExceededError, NotFoundError, UnavailableError } from '../core/errors.ts';
import type { EventFeed, SqlSession } from '../core/ports.ts';
import { parse, uuid } from '../core/validation.ts';
import { createAsking } from './asking.ts';
import { abandon, backendOf, borrowedSession, resetSession } from './borrowed-session.ts';
import { type PoolLimits, usualLimits } from './pool-limits.ts';
import { type Borrowed, countsOf, type PoolCounts, type Tenant } from './tenant.ts';
import { createAccountReader, type TenantAccount } from './tenant-account.ts';
import { type Connection, createTenantConnections } from './tenant-connections.ts';
import type { TenantServer } from './tenant-session.ts';
import { createTurns, type Waiter } from './turns.ts';

export interface TenantPoolsOptions {
  readonly server: TenantServer;
  /** What a tenant is called inside PostgreSQL. */
  readonly names: (tenantId: string) => { readonly app: string; readonly schema: string };
  /** What it takes to log in, from the registry. @throws {NotFoundError} {InvalidStateError} when nobody may */
  readonly account: (tenantId: string) => Promise<TenantAccount>;
  /** A database that cannot be reached becomes {UnavailableError}. */
  readonly reaching: <T>(work: () => Promise<T>) => Promise<T>;
  /** Ends the server's side of connections that are logged in as `role`. */
  readonly endBackends: (role: string, backends: readonly unknown[]) => Promise<void>;
  /** Tells when the access of a tenant may have changed. */
  readonly feed: Pick<EventFeed, 'subscribe'>;
  /** Connections of all tenants together, at most. */
  readonly budget: number;
  readonly limits?: Partial<PoolLimits>;
  readonly onError: (error: unknown) => void;
  /** A borrower has its connection, or waited in vain, after so many seconds. */
  readonly onWait: (seconds: number) => void;
  /** A connection is closed to make room for another tenant. */
  readonly onEviction: () => void;
}

export interface TenantPools extends AsyncDisposable {
  /**
   * Runs `work` on a connection that is logged in as the tenant's `…_app` role, its search path the tenant's schema
   * alone. What it leaves on the session is gone for the next one; a transaction that it leaves open is rolled back.
   * When the caller's signal aborts, it waits no longer, and its statements are ended.
   * @throws {ValidationError} when the id is no UUID
   * @throws {NotFoundError} {InvalidStateError} when nobody may work there
   * @throws {LimitExceededError} when no connection became free in time
   * @throws {UnavailableError} when the database cannot be reached, or the process stops
   */
  withTenant<T>(tenantId: string, work: (session: SqlSession) => Promise<T>): Promise<T>;
  /** The tenant's connections in this process. */
  usage(tenantId: string): PoolCounts;
  totals(): PoolCounts & { readonly max: number };
  /** Lends no more, waits for borrowers for `withinMs` at most, then ends what they do, and closes everything. */
  drain(withinMs: number): Promise<void>;
}

/** Connections into tenants' schemas: a pool of `pg` per tenant, under one budget (docs/decisions/0011). */
export function createTenantPools(options: TenantPoolsOptions): TenantPools {
  const { budget, server, reaching, onError } = options;
  const limits = { ...usualLimits, ...options.limits };
  // What a connection does is no concern of the request that happened to open it: its signal stays behind.
  const own = new AsyncResource('TenantPools');
  const tenants = new Map<string, Tenant>();
  const turns = createTurns({ ...limits, budget, onEviction: options.onEviction });
  const serve = () => own.runInAsyncScope(turns.serve);
  let draining: PromiseWithResolvers<void> | null = null;
  /** The time of the drain is up. */
  let isOver = false;

  const unsubscribe = options.feed.subscribe({
    event({ tenantId }) {
      const tenant = tenants.get(tenantId);
      if (tenant !== undefined) suspect(tenant);
    },
    resync: () => tenants.forEach(suspect),
  });

  function open(tenantId: string): Tenant {
    const known = tenants.get(tenantId);
    if (known !== undefined) return known;
    const { app: role, schema } = options.names(tenantId);
    const tenant: Tenant = {
      role,
      account: createAccountReader(
        () => own.runInAsyncScope(() => options.account(tenantId)),
        limits.accountMs,
      ),
      connections: createTenantConnections({
        server,
        role,
        schema,
        password: async () => (await access(tenant)).password,
        limits,
        onOpen: () => turns.opened(tenant),
        onClose() {
          turns.closed(tenant);
          forget(tenantId, tenant);
          serve();
        },
        onBroken(error) {
          if (draining === null) onError(error);
          suspect(tenant);
        },
      }),
      borrowed: new Set(),
      waiters: new Set(),
      max: 0,
      lent: 0,
      callers: 0,
      suspicions: 0,
      lend: (waiter) => lend(tenant, waiter),
    };
    tenants.set(tenantId, tenant);
    return tenant;
  }

  function forget(tenantId: string, { callers, connections }: Tenant): void {
    if (callers === 0 && connections.open === 0) tenants.delete(tenantId);
    if (draining !== null && allClosed()) draining.resolve();
  }

  function allClosed(): boolean {
    return [...tenants.values()].every(({ connections }) => connections.open === 0);
  }

  /** What the registry says; when that is that nobody may work there, nobody goes on to. */
  async function access(tenant: Tenant): Promise<TenantAccount> {
    try {
      const account = await tenant.account.fresh();
      tenant.max = Math.min(account.max, budget);
      return account;
    } catch (error) {
      if (error instanceof NotFoundError || error instanceof InvalidStateError) suspect(tenant);
      throw error;
    }
  }

  /** Every connection that is lent from now on is opened anew, by what the registry says then. */
  function suspect(tenant: Tenant): void {
    tenant.account.suspect();
    tenant.suspicions++;
    own.runInAsyncScope(() => {
      while (tenant.connections.idle > 0) tenant.connections.closeIdle();
    });
  }

  function lend(tenant: Tenant, waiter: Waiter): void {
    const { suspicions } = tenant;
    tenant.lent++;
    tenant.connections.take(
      (connection) => waiter.taken(connection, suspicions),
      (error) => {
        tenant.lent--;
        waiter.failed(error);
        serve();
      },
    );
  }

  /** For the next one who waits; `isNew`: nobody has used it. */
  async function giveBack(
    tenant: Tenant,
    { connection, suspicions }: Borrowed,
    isNew = false,
  ): Promise<void> {
    const mayStay = () =>
      draining === null && suspicions === tenant.suspicions && tenant.connections.kept <= tenant.max;
    let stays = mayStay() && !turns.mustYield(tenant, connection);
    if (stays && !isNew) {
      // What the borrower did not wait for comes first; it has only so much time.
      const late = setTimeout(() => void endWork(tenant, [connection]), limits.resetMs);
      stays = await resetSession(connection.client).then(mayStay, () => false);
      clearTimeout(late);
    }
    tenant.borrowed.delete(connection);
    tenant.lent--;
    if (stays) connection.giveBack();
    else connection.close();
    serve();
  }

  /** A connection in its turn. */
  function turn(tenant: Tenant, signal: AbortSignal | undefined): Promise<Borrowed> {
    const { waiter, answer, giveUpAfter } = createAsking({
      signal,
      leave: (who) => turns.leave(tenant, who),
      unwanted: (borrowed) => void giveBack(tenant, borrowed, true),
    });
    turns.wait(tenant, waiter);
    serve();
    // Who has left the queue is being logged in, which has a bound of its own.
    const isWaiting = () => tenant.waiters.has(waiter);
    if (isWaiting()) giveUpAfter(limits.waitMs, () => (isWaiting() ? tooLate(tenant) : null));
    return answer;
  }

  function tooLate({ lent, max }: Tenant): LimitExceededError {
    const which =
      lent >= max ? `the ${max} that its tier allows` : `the ${budget} that this process has for all tenants`;
    return new LimitExceededError(
      `No connection of the tenant became free within ${limits.waitMs} ms; ${which} are in use. Try again later.`,
    );
  }

  async function borrow(tenant: Tenant, signal: AbortSignal | undefined): Promise<Borrowed> {
    for (let isRepeated = false; ; isRepeated = true) {
      if (tenant.max === 0 || tenant.connections.idle <= 0) await access(tenant);
      signal?.throwIfAborted();
      if (draining !== null) throw new UnavailableError();
      try {
        return await turn(tenant, signal);
      } catch (error) {
        // What was believed to be the password is not, or not any more; the registry knows more, if only why.
        if (isRepeated || !isRefusedLogin(error)) throw error;
        suspect(tenant);
      }
    }
  }

  async function run<T>(
    tenant: Tenant,
    borrowed: Borrowed,
    signal: AbortSignal | undefined,
    work: (session: SqlSession) => Promise<T>,
  ): Promise<T> {
    const { connection } = borrowed;
    const { session, over } = borrowedSession(connection.client);
    const end = () => {
      if (tenant.borrowed.has(connection)) void endWork(tenant, [connection]);
    };
    tenant.borrowed.add(connection);
    signal?.addEventListener('abort', end, { once: true });
    try {
      signal?.throwIfAborted();
      if (isOver) throw new UnavailableError();
      return await work(session);
    } finally {
      over();
      await giveBack(tenant, borrowed);
      signal?.removeEventListener('abort', end);
    }
  }

  /** Closes connections in the middle of what is done on them, on the server too, where that might go on. */
  async function endWork({ role }: Tenant, connections: readonly Connection[]): Promise<void> {
    const backends = connections.map(({ client }) => backendOf(client));
    for (const { client } of connections) abandon(client);
    await own.runInAsyncScope(() => options.endBackends(role, backends)).catch(onError);
  }

  async function withTenant<T>(tenantId: string, work: (session: SqlSession) => Promise<T>): Promise<T> {
    const id = parse(uuid, tenantId);
    const signal = currentSignal();
    signal?.throwIfAborted();
    if (draining !== null) throw new UnavailableError();
    const began = performance.now();
    const tenant = open(id);
    tenant.callers++;
    try {
      const borrowed = await reaching(() => borrow(tenant, signal)).finally(() =>
        options.onWait((performance.now() - began) / 1000),
      );
      return await run(tenant, borrowed, signal, work);
    } finally {
      tenant.callers--;
      forget(id, tenant);
    }
  }

  async function drain(withinMs: number): Promise<void> {
    const all = () => [...tenants.values()];
    if (draining === null) {
      draining = Promise.withResolvers();
      unsubscribe();
      for (const tenant of all()) {
        for (const waiter of tenant.waiters) {
          turns.leave(tenant, waiter);
          waiter.failed(new UnavailableError());
        }
        suspect(tenant);
      }
    }
    const { promise, resolve } = draining;
    if (allClosed()) resolve();
    const late = setTimeout(() => {
      isOver = true;
      for (const tenant of all()) void endWork(tenant, [...tenant.borrowed]);
    }, withinMs);
    await promise.finally(() => clearTimeout(late));
  }

  return {
    withTenant,
    usage(tenantId) {
      const tenant = tenants.get(tenantId);
      return tenant === undefined ? { active: 0, idle: 0, waiting: 0 } : countsOf(tenant);
    },
    totals() {
      const counts = [...tenants.values()].map(countsOf);
      const sum = (count: keyof PoolCounts) => counts.reduce((total, each) => total + each[count], 0);
      return { active: sum('active'), idle: sum('idle'), waiting: sum('waiting'), max: budget };
    },
    drain,
    [Symbol.asyncDispose]: () => drain(0),
  };
}

/** invalid_password; invalid_authorization_specification, which also says that a role cannot log in. */
function isRefusedLogin(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === '28P01' || error.code === '28000');
}
