import pg from 'pg';
import type { DatabaseSettings } from '../src/db/database-settings.ts';
import { endBackendsOf } from '../src/db/end-backends.ts';
import { reachingDatabase } from '../src/db/errors.ts';
import type { EncryptionKey } from '../src/db/key-ring.ts';
import { openRegistry } from '../src/db/open-registry.ts';
import { createPool } from '../src/db/pool.ts';
import { createTenantAccounts } from '../src/db/tenant-accounts.ts';
import { createTenantPools } from '../src/pools/tenant-pools.ts';
import { tenantNames } from '../src/workers/tenant-names.ts';

export const contenders = ['ours', 'shared', 'naive'] as const;
export type ContenderName = (typeof contenders)[number];

/** Statements on a connection of a tenant. */
export type Query = (sql: string) => Promise<Record<string, unknown>[]>;

export interface Contender extends AsyncDisposable {
  withTenant(tenantId: string, work: (query: Query) => Promise<void>): Promise<void>;
}

export interface ContenderOptions {
  /** The service's own role. */
  readonly service: DatabaseSettings;
  /** May become every role. */
  readonly administrator: DatabaseSettings;
  readonly keys: readonly EncryptionKey[];
  readonly tenantIds: readonly string[];
  /** Connections into tenants' schemas. */
  readonly budget: number;
}

/** How each is started. None counts what it does before it resolves. */
export const starts: Readonly<Record<ContenderName, (options: ContenderOptions) => Promise<Contender>>> = {
  ours: startOurs,
  shared: startShared,
  naive: startNaive,
};

/** The service's pools, joined with its registry as `src/app.ts` does it. */
async function startOurs({ service, keys, budget }: ContenderOptions): Promise<Contender> {
  const { keyRing } = await openRegistry(service, keys);
  const registry = createPool(service, { max: 18, name: 'registry', onError: () => {} });
  const accounts = createTenantAccounts({ pool: registry, keyRing });
  const pools = createTenantPools({
    server: service,
    names: tenantNames,
    account: async (tenantId) => ({ password: (await accounts(tenantId)).password, max: 5 }),
    reaching: reachingDatabase,
    endBackends: (role, backends) => endBackendsOf(service, role, backends),
    feed: { subscribe: () => () => {} },
    budget,
    onError: () => {},
    onWait: () => {},
    onEviction: () => {},
  });
  return {
    withTenant: (tenantId, work) => pools.withTenant(tenantId, ({ query }) => work(query)),
    async [Symbol.asyncDispose]() {
      await pools.drain(0);
      await registry.end();
    },
  };
}

/** One pool whose login may become every tenant, and does for each borrower. */
async function startShared({ administrator, budget }: ContenderOptions): Promise<Contender> {
  const pool = new pg.Pool({ ...administrator, max: budget, application_name: 'contender' });
  pool.on('error', () => {});
  return {
    async withTenant(tenantId, work) {
      const { app, schema } = tenantNames(tenantId);
      const client = await pool.connect();
      try {
        await client.query(`SET ROLE ${app}; SET search_path TO ${schema}`);
        await work(async (sql) => (await client.query(sql)).rows);
      } finally {
        client.release();
      }
    },
    [Symbol.asyncDispose]: () => pool.end(),
  };
}

/** A pool for each tenant, as large as the tier allows, that knows nothing of the others. */
async function startNaive({ service, keys, tenantIds }: ContenderOptions): Promise<Contender> {
  const { keyRing } = await openRegistry(service, keys);
  const registry = createPool(service, { max: 2, name: 'registry', onError: () => {} });
  const accounts = createTenantAccounts({ pool: registry, keyRing });
  const pools = new Map<string, pg.Pool>();
  for (const id of tenantIds) {
    const { password } = await accounts(id);
    const { host, port, database } = service;
    const user = tenantNames(id).app;
    const pool = new pg.Pool({
      ...{ host, port, database, user, password, max: 5, application_name: 'contender' },
      connectionTimeoutMillis: 5_000,
    });
    pool.on('error', () => {});
    pools.set(id, pool);
  }
  await registry.end();
  return {
    async withTenant(tenantId, work) {
      const client = await pools.get(tenantId)?.connect();
      if (client === undefined) throw new Error('there is no such tenant');
      try {
        await work(async (sql) => (await client.query(sql)).rows);
      } finally {
        client.release();
      }
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...pools.values()].map((pool) => pool.end()));
    },
  };
}
