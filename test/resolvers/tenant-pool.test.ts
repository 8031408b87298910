import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { activeTenant, type CoreApp, newTenant, startCore } from '../core/core-app.ts';
import { type GraphqlClient, graphqlClient } from '../http/graphql-client.ts';
import { actor } from '../support/actor.ts';
import { countStatements } from '../support/count-statements.ts';

let app: CoreApp;
let client: GraphqlClient;
let id = '';
let idle = '';

const pool = 'pool { active idle waiting max leases }';
const none = { active: 0, idle: 0, waiting: 0, max: 5, leases: 0 };

beforeAll(async () => {
  app = await startCore({ worker: false });
  client = graphqlClient(app.app);
  [idle, id] = [await activeTenant(app), await activeTenant(app)];
  for (const slot of [1, 3]) {
    await app.sql(
      `INSERT INTO leases (id, tenant_id, slot, subject, expires_at) VALUES ($1, $2, $3, 'a backend', now() + interval '1 minute')`,
      [randomUUID(), id, slot],
    );
  }
});
afterAll(() => app[Symbol.asyncDispose]());

test('an admin sees what is open into a tenant’s schema, wherever the tenant stands', async () => {
  const seen = { ...none, leases: 2 };
  const data = await client.data(
    'admin',
    `query ($id: ID!) {
      tenant(id: $id) { ${pool} operation { tenant { ${pool} } } }
      node(id: $id) { ... on Tenant { ${pool} } }
      tenants { nodes { id ${pool} } }
    }`,
    { id },
  );
  expect(data).toEqual({
    tenant: { pool: seen, operation: { tenant: { pool: seen } } },
    node: { pool: seen },
    tenants: {
      nodes: [
        { id: idle, pool: none },
        { id, pool: seen },
      ],
    },
  });
  const update = `mutation ($id: ID!) { updateTenant(input: { id: $id, name: "New" }) { ... on UpdateTenantPayload { tenant { name ${pool} } } } }`;
  expect(await client.data('admin', update, { id })).toEqual({
    updateTenant: { tenant: { name: 'New', pool: seen } },
  });
});

test.each(['viewer', 'editor'] as const)(
  'to a %s it is FORBIDDEN, and the rest is answered',
  async (role) => {
    const { body } = await client.run(role, `query ($id: ID!) { tenant(id: $id) { id ${pool} } }`, { id });
    expect(body.data).toEqual({ tenant: { id, pool: null } });
    expect(body.errors).toMatchObject([{ path: ['tenant', 'pool'], extensions: { code: 'FORBIDDEN' } }]);
  },
);

test('the leases of a page of a hundred tenants are counted in as many statements as those of one, one more than none', async () => {
  const principal = actor('admin', 'test');
  for (let number = 2; number < 100; number++) await app.core.tenants.create(principal, newTenant());
  const page = (first: number, fields: string) =>
    countStatements(async () => {
      const { tenants } = (await client.data(
        'admin',
        `{ tenants(first: ${first}) { nodes { id ${fields} } } }`,
      )) as {
        tenants: { nodes: unknown[] };
      };
      expect(tenants.nodes).toHaveLength(first);
    });
  await page(100, pool);
  const plain = await page(1, 'name');
  expect(plain).toBeGreaterThan(0);
  expect([await page(1, pool), await page(100, pool)]).toEqual([plain + 1, plain + 1]);
});
