import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createMetrics } from '../../src/http/metrics.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
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
        const { tenant } = await app.core.tenants.create(
          { subject: 'test', role: 'admin' },
          { name: 'Counted', subdomain: 'counted', contactEmail: 'a@counted.example' },
        );
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

describe('the page', () => {
  const metrics = createMetrics({ pool: () => ({ active: 2, idle: 3, waiting: 4, max: 5 }) });

  test('shows failures apart from successes, and zeros before the first', async () => {
    metrics.recordProvisioning('failed', 1.5);
    const text = await metrics.registry.metrics();
    expect(text.match(/^(tenants_prov|tenant_prov.*(sum|count)|pool_).*$/gm)).toEqual([
      'tenants_provisioned_total{status="success"} 0',
      'tenants_provisioned_total{status="failed"} 1',
      'tenant_provisioning_duration_seconds_sum 1.5',
      'tenant_provisioning_duration_seconds_count 1',
      'pool_connections{pool="registry",state="active"} 2',
      'pool_connections{pool="registry",state="idle"} 3',
      'pool_connections{pool="registry",state="waiting"} 4',
      'pool_connections_max{pool="registry"} 5',
    ]);
  });

  test('has the process beside, without the names that promtool refuses', async () => {
    const text = await metrics.registry.metrics();
    expect(text).toMatch(/^process_cpu_seconds_total /m);
    for (const [, name, type] of text.matchAll(/^# TYPE (\S+) (\S+)$/gm)) {
      if (name?.endsWith('_total')) expect([name, type]).toEqual([name, 'counter']);
    }
  });
});
