import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Role, roleIncludes, roles } from '../../src/core/model.ts';
import { createSchema } from '../../src/resolvers/schema.ts';
import { type Answer, type GraphqlClient, graphqlClient } from '../http/graphql-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startTestApp({ worker: false });
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

const unknown = randomUUID();
const operation = `operation_${unknown}`;

/** Every root field in each way that has a role of its own, and the least role that may use it so. */
const uses: readonly [field: string, operation: string, least: Role][] = [
  ['Query.node', `{ node(id: "${unknown}") { id } }`, 'viewer'],
  ['Query.nodes', `{ nodes(ids: ["${unknown}"]) { id } }`, 'viewer'],
  ['Query.tenant', `{ tenant(id: "${unknown}") { id contactEmail } }`, 'viewer'],
  ['Query.tenant', `{ tenant(id: "${unknown}", deleted: EXCLUDE) { id } }`, 'viewer'],
  ['Query.tenant', `{ tenant(id: "${unknown}", deleted: null) { id } }`, 'viewer'],
  ['Query.tenant', `{ tenant(id: "${unknown}", deleted: INCLUDE) { id } }`, 'admin'],
  ['Query.tenant', `{ tenant(id: "${unknown}", deleted: ONLY) { id } }`, 'admin'],
  ['Query.tenantBySubdomain', '{ tenantBySubdomain(subdomain: "x") { id } }', 'viewer'],
  ['Query.tenants', '{ tenants { nodes { id } } }', 'viewer'],
  [
    'Query.tenants',
    '{ tenants(filter: { search: "x", deleted: EXCLUDE, contactEmail: null }) { nodes { id } } }',
    'viewer',
  ],
  ['Query.tenants', '{ tenants(filter: { contactEmail: "a@b.example" }) { nodes { id } } }', 'admin'],
  ['Query.tenants', '{ tenants(filter: { deleted: INCLUDE }) { nodes { id } } }', 'admin'],
  ['Query.tenants', '{ tenants(filter: { deleted: ONLY }) { nodes { id } } }', 'admin'],
  ['Query.operation', `{ operation(id: "${operation}") { id } }`, 'viewer'],
  [
    'Mutation.createTenant',
    'mutation { createTenant(input: { name: "", subdomain: "", contactEmail: "" }) { __typename } }',
    'editor',
  ],
  [
    'Mutation.updateTenant',
    `mutation { updateTenant(input: { id: "${unknown}" }) { __typename } }`,
    'editor',
  ],
  ['Mutation.suspendTenant', `mutation { suspendTenant(id: "${unknown}") { __typename } }`, 'admin'],
  ['Mutation.resumeTenant', `mutation { resumeTenant(id: "${unknown}") { __typename } }`, 'admin'],
  ['Mutation.deleteTenant', `mutation { deleteTenant(id: "${unknown}") { __typename } }`, 'admin'],
  ['Mutation.restoreTenant', `mutation { restoreTenant(id: "${unknown}") { __typename } }`, 'admin'],
  ['Mutation.retryOperation', `mutation { retryOperation(id: "${operation}") { __typename } }`, 'editor'],
  ['Mutation.cancelOperation', `mutation { cancelOperation(id: "${operation}") { __typename } }`, 'editor'],
  [
    'Subscription.tenantProvisioning',
    `subscription { tenantProvisioning(tenantId: "${unknown}") { step } }`,
    'viewer',
  ],
  ['Subscription.provisioningFeed', 'subscription { provisioningFeed { step } }', 'viewer'],
];

test('the walk below meets every root field', () => {
  const schema = createSchema();
  const fields = [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()].flatMap(
    (type) => Object.keys(type?.getFields() ?? {}).map((field) => `${type?.name}.${field}`),
  );
  expect([...new Set(uses.map(([field]) => field))].toSorted()).toEqual(fields.toSorted());
});

/** The codes of what is wrong with an answer; a subscription that streams has none. */
async function codes(role: Role | null, text: string): Promise<unknown[]> {
  if (!text.startsWith('subscription')) return codesOf((await client.run(role, text)).body);
  const abort = new AbortController();
  const response = await client.post(
    role,
    text,
    {},
    {
      headers: { accept: 'text/event-stream' },
      signal: abort.signal,
    },
  );
  // A refused one says so at once and is complete; the feed has nothing to say.
  if (text.includes('provisioningFeed') && role !== null) {
    abort.abort();
    return response.status === 200 ? [] : [response.status];
  }
  const data = /^data: (.+)$/m.exec(await response.text())?.[1] ?? '{}';
  return codesOf(JSON.parse(data));
}

function codesOf({ errors = [] }: Answer['body']): unknown[] {
  return errors.map(({ extensions }) => extensions.code);
}

describe.each(uses)('%s, as in %s', (_field, text, least) => {
  test.each([null, ...roles])('for %s', async (role) => {
    const found = await codes(role, text);
    if (role === null) expect(found).toEqual(['UNAUTHENTICATED']);
    else if (!roleIncludes(role, least)) expect(found).toEqual(['FORBIDDEN']);
    else expect(found).toEqual(text.includes('tenantProvisioning') ? ['NOT_FOUND'] : []);
  });
});

test('the schema is shown to nobody without a token', async () => {
  expect(await codes(null, '{ __schema { types { name } } }')).toEqual(['UNAUTHENTICATED']);
  // Neither by introspection nor by the suggestions of a failed validation.
  expect(await codes(null, '{ tennant }')).toEqual(['UNAUTHENTICATED']);
  expect(await codes(null, '{')).toEqual(['UNAUTHENTICATED']);
  expect(await codes('viewer', '{ __schema { types { name } } }')).toEqual([]);
});

test('the contact is shown to admins alone, whichever way one comes to the tenant', async () => {
  const { tenant, operation: provision } = await app.core.tenants.create(
    { subject: 'test', role: 'admin' },
    { name: 'Private', subdomain: 'private', contactEmail: 'jo@private.example' },
  );
  const text = `{
    tenant(id: "${tenant.id}") { contactEmail }
    tenantBySubdomain(subdomain: "private") { contactEmail }
    tenants(filter: { search: "private" }) { nodes { contactEmail } edges { node { contactEmail } } }
    node(id: "${tenant.id}") { ... on Tenant { contactEmail } }
    operation(id: "operation_${provision.id}") { tenant { contactEmail } }
  }`;
  const seen = (contactEmail: string | null) => ({
    tenant: { contactEmail },
    tenantBySubdomain: { contactEmail },
    tenants: { nodes: [{ contactEmail }], edges: [{ node: { contactEmail } }] },
    node: { contactEmail },
    operation: { tenant: { contactEmail } },
  });
  expect(await client.data('viewer', text)).toEqual(seen(null));
  expect(await client.data('editor', text)).toEqual(seen(null));
  expect(await client.data('admin', text)).toEqual(seen('jo@private.example'));
});

test('a token that may not do something leaves it undone', async () => {
  const { tenant } = await app.core.tenants.create(
    { subject: 'test', role: 'admin' },
    { name: 'Safe', subdomain: 'safe', contactEmail: 'jo@safe.example' },
  );
  const remove = `mutation { deleteTenant(id: "${tenant.id}") { __typename } }`;
  expect(await codes('editor', remove)).toEqual(['FORBIDDEN']);
  expect(await app.core.tenants.get(tenant.id)).toMatchObject({ deletedAt: null });
});
