import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import type { Role } from '../../src/core/model.ts';
import { type CoreApp, newTenant, startCore } from '../core/core-app.ts';
import { actor } from '../support/actor.ts';
import { type GraphqlClient, graphqlClient } from './graphql-client.ts';

// An answer that was made of a page of tenants is sent again when the database says that the page has not changed: so it
// is never older than one that is made anew.

let core: CoreApp;
let client: GraphqlClient;
let ids: string[];

const someone = actor('admin', 'test');
const query = `query ($first: Int, $filter: TenantFilter, $orderBy: TenantOrder) {
  tenants(first: $first, filter: $filter, orderBy: $orderBy) {
    edges { cursor node { id name status version deletedAt operation { kind state attempt } } }
    pageInfo { hasNextPage endCursor }
  }
}`;

beforeAll(async () => {
  core = await startCore({ worker: false });
  client = graphqlClient(core.app);
});
afterAll(() => core?.[Symbol.asyncDispose]());

beforeEach(async () => {
  ids = [];
  await core.sql('UPDATE tenants SET deleted_at = now() WHERE deleted_at IS NULL');
  for (let n = 0; n < 4; n++) ids.push((await core.core.tenants.create(someone, newTenant())).tenant.id);
});

async function ask(role: Role, variables: object, text = query): Promise<unknown> {
  return (await client.run(role, text, variables)).body;
}

/** The answer when it has come so often that it may be remembered. */
async function settled(role: Role, variables: object, text = query): Promise<unknown> {
  for (let n = 0; n < 3; n++) await ask(role, variables, text);
  return ask(role, variables, text);
}

let unique = 0;

/** The answer to the same question by a text that nobody has asked yet. */
function anew(role: Role, variables: object): Promise<unknown> {
  unique += 1;
  return ask(role, variables, `${query} # ${unique}`);
}

/** Whether that is executed again. */
async function isExecuted(role: Role, variables: object, text = query): Promise<boolean> {
  const list = vi.spyOn(core.core.tenants, 'list');
  try {
    await ask(role, variables, text);
    return list.mock.calls.length > 0;
  } finally {
    list.mockRestore();
  }
}

test('a page that has not changed is not made again', async () => {
  const variables = { first: 2 };
  const answer = await settled('viewer', variables);
  expect(await isExecuted('viewer', variables)).toBe(false);
  expect(await ask('viewer', variables)).toEqual(answer);
  expect(answer).toEqual(await anew('viewer', variables));
  // Another role, and another page, are other answers.
  expect(await isExecuted('editor', variables)).toBe(true);
  expect(await isExecuted('viewer', { first: 3 })).toBe(true);
  // What is not on the page does not matter, nor does what changes nothing.
  await core.core.tenants.update(someone, { id: `${ids[3]}`, name: 'Elsewhere' });
  expect(await isExecuted('viewer', variables)).toBe(false);
});

const changes: Record<string, () => Promise<unknown>> = {
  'a new name': () => core.core.tenants.update(someone, { id: `${ids[1]}`, name: 'Renamed' }),
  'a new contact': () =>
    core.core.tenants.update(someone, { id: `${ids[1]}`, contactEmail: 'new@remembered.example' }),
  'a deletion': () => core.core.tenants.remove(someone, `${ids[0]}`),
  'another state of the newest operation': () =>
    core.sql(`UPDATE operations SET attempt = attempt + 1 WHERE tenant_id = $1`, [ids[1]]),
  'a change of the same by somebody else': () =>
    core.sql(`UPDATE tenants SET name = name || '!' WHERE id = $1`, [ids[0]]),
  'another newest operation': async () => {
    const { operationId } = await core.core.tenants.get(`${ids[1]}`);
    await core.core.operations.cancel(someone, `${operationId}`);
    await core.core.tenants.remove(someone, `${ids[1]}`);
  },
  'a place in the order': () =>
    core.sql(`UPDATE tenants SET created_at = created_at - interval '1 day' WHERE id = $1`, [ids[3]]),
};

test.each(Object.keys(changes))('%s shows at once', async (name) => {
  const variables = { first: 3, filter: { deleted: 'EXCLUDE' } };
  const before = await settled('admin', variables);
  expect(await isExecuted('admin', variables)).toBe(false);
  await changes[name]?.();
  expect(await isExecuted('admin', variables)).toBe(true);
  const after = await ask('admin', variables);
  expect(after).toEqual(await anew('admin', variables));
  if (name !== 'a new contact') expect(after).not.toEqual(before);
});

test('pages before and behind a cursor, and those with a filter, are remembered as the others are', async () => {
  const text = `query ($first: Int, $last: Int, $after: String, $before: String, $filter: TenantFilter, $orderBy: TenantOrder) {
    tenants(first: $first, last: $last, after: $after, before: $before, filter: $filter, orderBy: $orderBy) {
      nodes { id name } pageInfo { startCursor endCursor hasPreviousPage hasNextPage }
    }
  }`;
  for (const field of ['CREATED_AT', 'NAME', 'SUBDOMAIN']) {
    const orderBy = { field, direction: 'DESC' };
    const { data } = (await ask('admin', { first: 2, orderBy }, text)) as {
      data: { tenants: { pageInfo: { endCursor: string } } };
    };
    const cursor = data.tenants.pageInfo.endCursor;
    const status = ['PROVISIONING'];
    for (const variables of [
      { first: 1, after: cursor, orderBy },
      { last: 1, before: cursor, orderBy },
      { first: 3, orderBy, filter: { deleted: 'ONLY' } },
      { first: 3, orderBy, filter: { deleted: 'INCLUDE', status, tier: 'standard', search: 't' } },
    ]) {
      const answer = await settled('admin', variables, text);
      expect(answer).not.toHaveProperty('errors');
      expect(await isExecuted('admin', variables, text)).toBe(false);
      unique += 1;
      expect(answer).toEqual(await ask('admin', variables, `${text} # ${unique}`));
    }
  }
});

test('a page that cannot be looked at is the error that it would be anyway', async () => {
  const variables = { first: 1 };
  await settled('viewer', variables);
  expect(await isExecuted('viewer', variables)).toBe(false);
  await core.sql('ALTER TABLE tenants RENAME TO away');
  try {
    const answer = (await client.run('viewer', query, variables)).body;
    expect(answer.errors?.map(({ extensions }) => extensions.code)).toEqual(['INTERNAL']);
  } finally {
    await core.sql('ALTER TABLE away RENAME TO tenants');
  }
  expect(await ask('viewer', variables)).toEqual(await anew('viewer', variables));
});

test('a tenant that came and went leaves the page as it was', async () => {
  const variables = { orderBy: { field: 'CREATED_AT', direction: 'DESC' } };
  const before = await settled('viewer', variables);
  const { tenant } = await core.core.tenants.create(someone, newTenant());
  expect(JSON.stringify(await ask('viewer', variables))).toContain(tenant.id);
  await core.core.tenants.remove(someone, tenant.id);
  expect(await ask('viewer', variables)).toEqual(before);
});

test('pages with tenants by their ids are what both are', async () => {
  const text = 'query ($id: ID!) { tenants(first: 1) { nodes { id name } } tenant(id: $id) { name } }';
  const variables = { id: `${ids[2]}` };
  await settled('viewer', variables, text);
  expect(await isExecuted('viewer', variables, text)).toBe(false);
  await core.core.tenants.update(someone, { id: `${ids[2]}`, name: 'Beside' });
  expect(await ask('viewer', variables, text)).toMatchObject({ data: { tenant: { name: 'Beside' } } });
});

test.each([
  ['the contact', '{ tenants(first: 2) { nodes { contactEmail } } }', {}],
  [
    'the contact in a fragment',
    '{ tenants { ...F } } fragment F on QueryTenantsConnection { nodes { ...G } } fragment G on Tenant { contactEmail }',
    {},
  ],
  ['steps', '{ tenants(first: 2) { nodes { operation { steps { status } } } } }', {}],
  ['connections', '{ tenants(first: 2) { nodes { pool { leases } } } }', {}],
  ['operations', '{ tenants(first: 2) { nodes { operations { nodes { state } } } } }', {}],
  [
    'a search by the contact',
    'query ($filter: TenantFilter) { tenants(filter: $filter) { nodes { id } } }',
    { filter: { contactEmail: 'somebody@remembered.example' } },
  ],
])('a page with %s is made each time', async (_, text, variables) => {
  const answer = await settled('admin', variables, text);
  expect(answer).not.toHaveProperty('errors');
  expect(await isExecuted('admin', variables, text)).toBe(true);
});

test('while many change, what is remembered is what is made anew', async () => {
  const variables = { first: 3, orderBy: { field: 'NAME', direction: 'ASC' } };
  for (let n = 0; n < 20; n++) {
    await settled('viewer', variables);
    const id = `${ids[n % ids.length]}`;
    await core.core.tenants.update(someone, { id, name: `Name ${(n * 7) % 11}` });
    expect(await ask('viewer', variables)).toEqual(await anew('viewer', variables));
  }
});
