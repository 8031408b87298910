import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { readJobStatistics } from '../../src/db/job-statistics.ts';
import { countLeases } from '../../src/db/lease-store.ts';
import { createPool } from '../../src/db/pool.ts';
import { createMetrics, type JobUsage } from '../../src/http/metrics.ts';
import { activeTenant, type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { hold } from '../pools/pools-bed.ts';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { asAdministrator } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { dataOf, type GraphqlClient, graphqlClient } from './graphql-client.ts';

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startTestApp();
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

/** The value of a line of /metrics, by its name and labels as they stand there. */
async function metric(line: string): Promise<number> {
  const response = await fetch(`${app.httpUrl}/metrics`);
  expect(response.headers.get('content-type')).toMatch('text/plain');
  const found = (await response.text()).split('\n').find((text) => text.startsWith(`${line} `));
  return found === undefined ? 0 : Number(found.slice(line.length + 1));
}

async function moves(line: string, by: number, work: () => Promise<unknown>): Promise<void> {
  const before = await metric(line);
  await work();
  await vi.waitFor(async () => expect((await metric(line)) - before).toBe(by), 5_000);
}

const count = (type: string, outcome: string) =>
  `graphql_operation_duration_seconds_count{operation_type="${type}",outcome="${outcome}"}`;

test.each<[string, string, string | null, string]>([
  ['query', 'ok', 'viewer', '{ tenants { nodes { id } } }'],
  ['query', 'refused', 'viewer', '{ tenant(id: "x") { id } }'],
  ['mutation', 'refused', 'viewer', 'mutation { deleteTenant(id: "x") { __typename } }'],
  ['mutation', 'ok', 'admin', 'mutation { deleteTenant(id: "x") { __typename } }'],
  ['unknown', 'refused', null, '{ tenants { nodes { id } } }'],
  ['unknown', 'refused', 'viewer', '{'],
])('a %s that ends %s is counted', async (type, outcome, role, query) => {
  await moves(count(type, outcome), 1, () => client.run(role as 'viewer' | 'admin' | null, query));
});

test('a provisioning moves its counter, its duration and the subscription that watches it', async () => {
  await moves('tenants_provisioned_total{status="success"}', 1, () =>
    moves('tenant_provisioning_duration_seconds_count', 1, () =>
      moves(count('subscription', 'ok'), 1, async () => {
        const { tenant } = await app.core.tenants.create(actor('admin', 'test'), {
          name: 'Counted',
          subdomain: 'counted',
          contactEmail: 'a@counted.example',
        });
        using stream = await client.stream(
          'viewer',
          'subscription ($id: ID!) { tenantProvisioning(tenantId: $id) { step } }',
          { id: tenant.id },
        );
        await dataOf(stream, 'tenantProvisioning');
      }),
    ),
  );
});

test('a subscription that streams is one of the active ones', async () => {
  await moves('graphql_subscriptions_active', 0, async () => {
    using _stream = await client.stream('viewer', 'subscription { provisioningFeed { step } }');
    await vi.waitFor(async () => expect(await metric('graphql_subscriptions_active')).toBe(1));
  });
});

test("the registry's pool shows its connections and its bound", async () => {
  await client.run('viewer', '{ tenants { nodes { id } } }');
  expect(await metric('pool_connections_max{pool="registry"}')).toBeGreaterThan(1);
  expect(
    (await metric('pool_connections{pool="registry",state="idle"}')) +
      (await metric('pool_connections{pool="registry",state="active"}')),
  ).toBeGreaterThan(0);
  expect(await metric('pool_connections{pool="registry",state="waiting"}')).toBe(0);
});

test('the pools of tenants show their connections, their bound, the waits and the evictions', async () => {
  const { tenant } = await app.core.tenants.create(editor, newTenant());
  await eventually(async () => (await app.core.tenants.get(tenant.id)).status === 'ACTIVE', 30_000);
  const connections = async (state: string) => metric(`pool_connections{pool="tenants",state="${state}"}`);
  await moves('pool_wait_seconds_count{pool="tenants"}', 2, async () => {
    const [first, second] = [await hold(app.tenantPools, tenant.id), await hold(app.tenantPools, tenant.id)];
    expect(await Promise.all(['active', 'idle', 'waiting'].map(connections))).toEqual([2, 0, 0]);
    await first.release();
    expect(await Promise.all(['active', 'idle', 'waiting'].map(connections))).toEqual([1, 1, 0]);
    await second.release();
  });
  expect(await metric('pool_connections_max{pool="tenants"}')).toBe(50);
});

describe('the jobs', () => {
  let idle: CoreApp;
  beforeAll(async () => {
    idle = await startCore({ worker: false });
  });
  afterAll(() => idle?.[Symbol.asyncDispose]());

  /** The values of the gauges; what is absent from the page is absent here. */
  async function jobs(): Promise<Record<string, number>> {
    const text = await (await fetch(`${idle.app.httpUrl}/metrics`)).text();
    const lines = text.matchAll(/^provisioning_(?:jobs\{state="(\w+)"\}|(oldest)_job_age_seconds) (\S+)$/gm);
    return Object.fromEntries([...lines].map(([, state, oldest, value]) => [state ?? oldest, Number(value)]));
  }
  const set = (id: string, assignments: string) =>
    idle.sql(`UPDATE operations SET ${assignments} WHERE id = $1`, [id]);
  const age = expect.closeTo(3_600, -2);
  const fail = `state = 'FAILED', error = 'because', finished_at = now(), next_attempt_at = NULL`;

  test('are ready while they wait, then running, then failed until their tenant goes on', async () => {
    expect(await jobs()).toEqual({ ready: 0, running: 0, failed: 0, oldest: 0 });
    const finished = await activeTenant(idle);
    expect(await jobs()).toEqual({ ready: 0, running: 0, failed: 0, oldest: 0 });

    const { tenant, operation } = await idle.core.tenants.create(editor, newTenant());
    await set(operation.id, `created_at = now() - interval '1 hour'`);
    const suspension = await idle.core.tenants.suspend(editor, finished);
    expect(await jobs()).toEqual({ ready: 2, running: 0, failed: 0, oldest: age });
    await set(operation.id, `attempt = 1, error = 'because', next_attempt_at = now() + interval '1 hour'`);
    expect(await jobs()).toEqual({ ready: 2, running: 0, failed: 0, oldest: age });

    await set(operation.id, `state = 'RUNNING', next_attempt_at = NULL`);
    expect(await jobs()).toEqual({ ready: 1, running: 1, failed: 0, oldest: age });

    await set(operation.id, fail);
    expect(await jobs()).toEqual({ ready: 1, running: 0, failed: 1, oldest: expect.closeTo(0, -2) });
    await set(suspension.operation.id, fail);
    expect(await jobs()).toEqual({ ready: 0, running: 0, failed: 2, oldest: 0 });

    await idle.core.operations.retry(editor, operation.id);
    expect(await jobs()).toEqual({ ready: 1, running: 0, failed: 1, oldest: age });
    await set(operation.id, fail);
    const next = await idle.core.tenants.suspend(editor, finished);
    await set(next.operation.id, `state = 'SUCCEEDED', finished_at = now()`);
    expect(await jobs()).toEqual({ ready: 0, running: 0, failed: 1, oldest: 0 });
    const removal = await idle.core.tenants.remove(editor, tenant.id);
    expect(await jobs()).toEqual({ ready: 1, running: 0, failed: 0, oldest: expect.closeTo(0, -2) });
    await set(removal.operation?.id ?? '', fail);
    expect(await jobs()).toEqual({ ready: 0, running: 0, failed: 1, oldest: 0 });
  });

  test('are absent while the database does not answer, in time, and back when it does', async () => {
    const { administrator } = idle.app;
    const holder = new pg.Client(administrator);
    await holder.connect();
    try {
      await holder.query('BEGIN; LOCK TABLE operations IN ACCESS EXCLUSIVE MODE');
      const before = Date.now();
      expect(await Promise.all([jobs(), jobs(), jobs()])).toEqual([{}, {}, {}]);
      expect(Date.now() - before).toBeLessThan(5_000);
      // What waited for the lock waits no more.
      const waiting = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
      await eventually(async () => (await asAdministrator(administrator, waiting)).rowCount === 0, 10_000);
    } finally {
      await holder.end();
    }
    await eventually(async () => expect(Object.keys(await jobs())).toHaveLength(4), 10_000);
  });
});

describe('the page', () => {
  const usage: JobUsage = { ready: 6, running: 7, failed: 8, oldestSeconds: 9.5 };
  const metrics = createMetrics({
    pool: () => ({ active: 2, idle: 3, waiting: 4, max: 5 }),
    jobs: async () => usage,
    leases: async () => 10,
  });

  test('shows failures apart from successes, and zeros before the first', async () => {
    metrics.recordProvisioning('failed', 1.5);
    metrics.watchPool('tenants', () => ({ active: 10, idle: 11, waiting: 12, max: 13 }));
    metrics.recordPoolWait('tenants', 0.3);
    metrics.recordPoolEviction();
    const text = await metrics.registry.metrics();
    expect(
      text.match(/^(tenants_prov|tenant_prov.*(sum|count)|pool_(?!.*_bucket)|provisioning_).*$/gm),
    ).toEqual([
      'tenants_provisioned_total{status="success"} 0',
      'tenants_provisioned_total{status="failed"} 1',
      'tenant_provisioning_duration_seconds_sum 1.5',
      'tenant_provisioning_duration_seconds_count 1',
      'pool_connections{pool="registry",state="active"} 2',
      'pool_connections{pool="registry",state="idle"} 3',
      'pool_connections{pool="registry",state="waiting"} 4',
      'pool_connections{pool="tenants",state="active"} 10',
      'pool_connections{pool="tenants",state="idle"} 11',
      'pool_connections{pool="tenants",state="waiting"} 12',
      'pool_connections_max{pool="registry"} 5',
      'pool_connections_max{pool="tenants"} 13',
      'pool_wait_seconds_sum{pool="tenants"} 0.3',
      'pool_wait_seconds_count{pool="tenants"} 1',
      'pool_evictions_total 1',
      'provisioning_jobs{state="ready"} 6',
      'provisioning_jobs{state="running"} 7',
      'provisioning_jobs{state="failed"} 8',
      'provisioning_oldest_job_age_seconds 9.5',
      'pool_leases 10',
    ]);
  });

  test('asks for the jobs once, however many read it, and again for the next', async () => {
    let asked = 0;
    const page = createMetrics({
      pool: () => ({ active: 0, idle: 0, waiting: 0, max: 1 }),
      jobs: async () => {
        asked += 1;
        return usage;
      },
      leases: async () => 0,
    }).registry;
    await Promise.all([page.metrics(), page.metrics()]);
    expect(asked).toBe(1);
    await page.metrics();
    expect(asked).toBe(2);
  });

  test('leaves the jobs and the leases out when the database is not there', async () => {
    // Nobody listens on port 1.
    const nowhere = {
      host: '127.0.0.1',
      port: 1,
      user: 'nobody',
      password: 'none',
      database: 'none',
      ssl: false,
    } as const;
    const pool = createPool(nowhere, { max: 1, name: 'test', onError: () => {} });
    try {
      const page = createMetrics({
        pool: () => ({ active: 0, idle: 0, waiting: 0, max: 1 }),
        jobs: () => readJobStatistics(pool),
        leases: () => countLeases(pool),
      }).registry;
      const text = await page.metrics();
      expect(text.match(/^(provisioning_|pool_leases).*$/gm)).toBeNull();
      expect(text.match(/^# TYPE (provisioning_|pool_leases).*$/gm)).toEqual([
        '# TYPE provisioning_jobs gauge',
        '# TYPE provisioning_oldest_job_age_seconds gauge',
        '# TYPE pool_leases gauge',
      ]);
    } finally {
      await pool.end();
    }
  });

  test('has the process beside, without the names that promtool refuses', async () => {
    const text = await metrics.registry.metrics();
    expect(text).toMatch(/^process_cpu_seconds_total /m);
    for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
      if (name?.endsWith('_total')) expect([name, type]).toEqual([name, 'counter']);
    }
  });
});
