import { randomBytes } from 'node:crypto';
import { expect } from 'vitest';
import type { SqlSession } from '../../src/core/ports.ts';
import { endBackendsOf } from '../../src/db/end-backends.ts';
import { reachingDatabase } from '../../src/db/errors.ts';
import { openRegistry } from '../../src/db/open-registry.ts';
import { createPool } from '../../src/db/pool.ts';
import { createTenantAccounts } from '../../src/db/tenant-accounts.ts';
import { passwordRotation } from '../../src/doctor/password.ts';
import { repairAll } from '../../src/doctor/repair.ts';
import { inTransaction } from '../../src/doctor/transactions.ts';
import type { Feed } from '../../src/events/feed.ts';
import { createLocalFeed } from '../../src/events/local-feed.ts';
import { createLog } from '../../src/log.ts';
import type { PoolLimits } from '../../src/pools/pool-limits.ts';
import { createTenantPools, type TenantPools } from '../../src/pools/tenant-pools.ts';
import { tenantNames } from '../../src/workers/tenant-names.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { asAdministrator, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { settled } from '../workers/worker-app.ts';

/** Pools under test, and what they told. */
export interface TestPools extends TenantPools {
  readonly waits: readonly number[];
  readonly errors: readonly unknown[];
  evictions(): number;
}

export interface PoolsOptions {
  readonly budget?: number;
  /** Connections per tenant. */
  readonly max?: number;
  readonly limits?: Partial<PoolLimits>;
  /** Where they connect to, if not to the server itself. */
  readonly port?: number;
  /** What a reading of the registry waits for, by its number from 1 on. */
  readonly beforeReading?: (number: number) => Promise<void> | undefined;
}

/** The real app, a few tenants that it has provisioned, and pools into their schemas. */
export interface PoolsBed extends AsyncDisposable {
  readonly app: CoreApp;
  readonly feed: Feed;
  /** As a reader of the registry; counts. */
  readonly readings: { count: number };
  createTenants(count: number): Promise<string[]>;
  /** They are drained at the end of the test, by `await using`. */
  pools(options?: PoolsOptions): TestPools;
  /** `endsSessions`: false is the moment before the sessions are ended. */
  rotate(tenantId: string, options?: { endsSessions: boolean }): Promise<void>;
  /** The process ids of the tenants' sessions on the server, oldest first. */
  sessions(...tenantIds: string[]): Promise<number[]>;
}

const encryptionKeys = [{ id: 'pools', key: randomBytes(32) }];

export async function startPoolsBed(database?: TestDatabase): Promise<PoolsBed> {
  await using stack = new AsyncDisposableStack();
  const app = stack.use(await startCore({ config: { encryptionKeys }, ...(database && { database }) }));
  const settings = app.app.database;
  const { registryId, keyRing } = await openRegistry(settings, encryptionKeys);
  const registry = createPool(settings, { max: 5, name: 'the registry', onError: () => {} });
  stack.defer(() => registry.end());
  const feed = stack.use(await createLocalFeed(createLog('silent')));
  const accounts = createTenantAccounts({ pool: registry, keyRing });
  const readings = { count: 0 };
  const running = stack.move();
  return {
    app,
    feed,
    readings,
    async createTenants(count) {
      const ids = Array.from({ length: count }, async () => {
        const { tenant } = await app.core.tenants.create(editor, newTenant());
        await settled(app, tenant.id);
        return tenant.id;
      });
      return Promise.all(ids);
    },
    pools({ budget = 10, max = 5, limits = {}, port = settings.port, beforeReading } = {}) {
      let number = 0;
      const waits: number[] = [];
      const errors: unknown[] = [];
      let evictions = 0;
      const pools = createTenantPools({
        server: { ...settings, port },
        names: tenantNames,
        async account(tenantId) {
          readings.count++;
          await beforeReading?.(++number);
          return { password: (await accounts(tenantId)).password, max };
        },
        reaching: reachingDatabase,
        endBackends: (role, backends) => endBackendsOf(settings, role, backends),
        feed,
        budget,
        limits,
        onError: (error) => void errors.push(error),
        onWait: (seconds) => void waits.push(seconds),
        onEviction: () => void evictions++,
      });
      return { ...pools, waits, errors, evictions: () => evictions };
    },
    async rotate(tenantId, { endsSessions } = { endsSessions: true }) {
      const names = tenantNames(tenantId);
      const rotation = { check: 'login', what: 'to be rotated', remedy: passwordRotation(names) };
      const outcome = await inTransaction(registry, (sql) =>
        repairAll(sql, { registryId, keyRing, server: settings }, { role: names.owner, tenantId }, [
          rotation,
        ]),
      );
      expect(outcome.done).toEqual([rotation.remedy]);
      if (!endsSessions) return;
      await registry.query(
        'SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1',
        [names.app],
      );
    },
    async sessions(...tenantIds) {
      const roles = tenantIds.map((id) => `'${tenantNames(id).app}'`).join(', ');
      const { rows } = await asAdministrator(
        app.app.administrator,
        `SELECT pid FROM pg_stat_activity WHERE usename IN (${roles}) ORDER BY backend_start, pid`,
      );
      return rows.map(({ pid }) => pid);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** A connection in somebody's hands. */
export interface Held {
  readonly pid: number;
  readonly session: SqlSession;
  /** The borrower is done with it. */
  release(): Promise<void>;
}

export async function hold(pools: Pick<TenantPools, 'withTenant'>, tenantId: string): Promise<Held> {
  const begun = Promise.withResolvers<Omit<Held, 'release'>>();
  const done = Promise.withResolvers<void>();
  const working = pools.withTenant(tenantId, async (session) => {
    begun.resolve({ session, pid: await pidOf(session) });
    await done.promise;
  });
  working.catch(begun.reject);
  return {
    ...(await begun.promise),
    release() {
      done.resolve();
      return working;
    },
  };
}

export async function pidOf({ query }: SqlSession): Promise<number> {
  const [row] = await query('SELECT pg_backend_pid() AS pid');
  return Number(row?.pid);
}

/** The server's process that serves one more borrower. */
export function pidFor(pools: Pick<TenantPools, 'withTenant'>, tenantId: string): Promise<number> {
  return pools.withTenant(tenantId, pidOf);
}

export function untilTotals(
  pools: Pick<TenantPools, 'totals'>,
  expected: Partial<ReturnType<TenantPools['totals']>>,
): Promise<unknown> {
  return eventually(() => {
    const totals = pools.totals();
    return Object.entries({ ...totals, ...expected }).every(
      ([name, value]) => Reflect.get(totals, name) === value,
    );
  }, 10_000);
}
