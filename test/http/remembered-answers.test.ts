import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { Role } from '../../src/core/model.ts';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { type GraphqlClient, graphqlClient } from './graphql-client.ts';

// An answer that was made of remembered tenants alone is not made again, and is never older than they are.

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startTestApp({ worker: false });
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

let count = 0;

async function newTenant(): Promise<string> {
  count += 1;
  const { tenant } = await app.core.tenants.create(actor('admin', 'test'), {
    name: 'First',
    subdomain: `remembered-${count}`,
    contactEmail: `remembered-${count}@example.com`,
  });
  return tenant.id;
}

const byId = 'query ($id: ID!) { tenant(id: $id) { id name status version } }';

/** The answer when it has come so often that it may be remembered. */
async function settled(role: Role, query: string, variables: unknown): Promise<unknown> {
  for (let n = 0; n < 4; n++) await client.run(role, query, variables);
  return (await client.run(role, query, variables)).body;
}

test('a query of tenants that have not changed is not executed again', async () => {
  const id = await newTenant();
  const answer = await settled('viewer', byId, { id });
  const find = vi.spyOn(app.core.tenants, 'find');
  expect((await client.run('viewer', byId, { id })).body).toEqual(answer);
  expect(find).not.toHaveBeenCalled();
  // Another role, and another request, are other answers.
  await client.run('editor', byId, { id });
  await client.run('viewer', byId, { id: await newTenant() });
  expect(find).toHaveBeenCalledTimes(2);
  find.mockRestore();
});

test('a change shows at once, over whichever face it was made', async () => {
  const id = await newTenant();
  expect(await settled('admin', byId, { id })).toEqual({
    data: { tenant: { id, name: 'First', status: 'PROVISIONING', version: 1 } },
  });
  for (const name of ['Second', 'Third', 'Fourth']) {
    await app.core.tenants.update(actor('admin', 'test'), { id, name });
    expect(await client.data('admin', byId, { id })).toMatchObject({ tenant: { name } });
    expect(await settled('admin', byId, { id })).toMatchObject({ data: { tenant: { name } } });
  }
  await app.core.tenants.remove(actor('admin', 'test'), id);
  expect(await client.data('admin', byId, { id })).toEqual({ tenant: null });
});

test('a tenant that was unknown is shown when it is there', async () => {
  const id = await newTenant();
  const deleted = 'query ($id: ID!) { tenant(id: $id, deleted: ONLY) { id } }';
  expect(await settled('admin', deleted, { id })).toEqual({ data: { tenant: null } });
  await app.core.tenants.remove(actor('admin', 'test'), id);
  expect(await client.data('admin', deleted, { id })).toEqual({ tenant: { id } });
});

test('what an admin sees is shown to nobody else', async () => {
  const id = await newTenant();
  const query = 'query ($id: ID!) { tenant(id: $id) { id contactEmail } }';
  const address = `remembered-${count}@example.com`;
  expect(await settled('admin', query, { id })).toEqual({ data: { tenant: { id, contactEmail: address } } });
  expect(await settled('viewer', query, { id })).toEqual({ data: { tenant: { id, contactEmail: null } } });
  await app.core.tenants.update(actor('admin', 'test'), { id, contactEmail: `new-${address}` });
  expect(await client.data('admin', query, { id })).toEqual({
    tenant: { id, contactEmail: `new-${address}` },
  });
});

test('what is not of the tenants alone is read each time', async () => {
  const id = await newTenant();
  const query =
    'query ($id: ID!) { tenant(id: $id) { id operation { state } } tenants(first: 1) { nodes { name } } }';
  expect(await settled('viewer', query, { id })).toMatchObject({
    data: { tenant: { operation: { state: 'PENDING' } } },
  });
  const { operationId } = await app.core.tenants.get(id);
  await app.core.operations.cancel(actor('admin', 'test'), `${operationId}`);
  expect(await client.data('viewer', query, { id })).toMatchObject({
    tenant: { operation: { state: 'PENDING' } },
  });
  await app.core.tenants.remove(actor('admin', 'test'), id);
  expect(await client.data('viewer', query, { id })).toMatchObject({ tenant: null });
});
