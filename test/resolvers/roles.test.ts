import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Role } from '../../src/core/model.ts';
import { type GraphqlClient, graphqlClient } from '../http/graphql-client.ts';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp } from '../support/app.ts';

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startTestApp({ worker: false });
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

/** The codes of what is wrong with an answer. */
async function codes(role: Role | null, text: string): Promise<unknown[]> {
  const { errors = [] } = (await client.run(role, text)).body;
  return errors.map(({ extensions }) => extensions.code);
}

test('the schema is shown to nobody without a token', async () => {
  expect(await codes(null, '{ __schema { types { name } } }')).toEqual(['UNAUTHENTICATED']);
  // Neither by introspection nor by the suggestions of a failed validation.
  expect(await codes(null, '{ tennant }')).toEqual(['UNAUTHENTICATED']);
  expect(await codes(null, '{')).toEqual(['UNAUTHENTICATED']);
  expect(await codes('viewer', '{ __schema { types { name } } }')).toEqual([]);
});

test('the contact is shown to admins alone, whichever way one comes to the tenant', async () => {
  const { tenant, operation: provision } = await app.core.tenants.create(actor('admin', 'test'), {
    name: 'Private',
    subdomain: 'private',
    contactEmail: 'jo@private.example',
  });
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
  const { tenant } = await app.core.tenants.create(actor('admin', 'test'), {
    name: 'Safe',
    subdomain: 'safe',
    contactEmail: 'jo@safe.example',
  });
  const remove = `mutation { deleteTenant(id: "${tenant.id}") { __typename } }`;
  expect(await codes('editor', remove)).toEqual(['FORBIDDEN']);
  expect(await app.core.tenants.get(tenant.id)).toMatchObject({ deletedAt: null });
});
