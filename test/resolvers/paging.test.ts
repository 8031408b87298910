import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { operationSteps } from '../../src/core/operation-steps.ts';
import { type GraphqlClient, graphqlClient } from '../http/graphql-client.ts';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { countStatements } from '../support/count-statements.ts';

let app: TestApp;
let client: GraphqlClient;

// In the order of creation.
const names = ['Delta', 'alpha', 'Charlie', 'bravo', 'Echo'];
const principal = actor('admin', 'test');

beforeAll(async () => {
  app = await startTestApp({ worker: false });
  client = graphqlClient(app);
  for (const [index, name] of names.entries()) {
    await app.core.tenants.create(principal, {
      name,
      subdomain: `t${names.length - index}-${name.toLowerCase()}`,
      contactEmail: `${name}@paging.example`,
      tier: index % 2 === 0 ? 'gold' : 'standard',
    });
  }
});
afterAll(() => app[Symbol.asyncDispose]());

interface Page {
  readonly nodes: readonly { readonly name: string }[];
  readonly edges: readonly { readonly cursor: string; readonly node: { readonly name: string } }[];
  readonly pageInfo: {
    readonly hasNextPage: boolean;
    readonly hasPreviousPage: boolean;
    readonly startCursor: string | null;
    readonly endCursor: string | null;
  };
}

async function tenants(args: object): Promise<Page> {
  const data = (await client.data(
    'admin',
    `query ($first: Int, $after: String, $last: Int, $before: String, $filter: TenantFilter, $orderBy: TenantOrder) {
      tenants(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) {
        nodes { name }
        edges { cursor node { name } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }`,
    args,
  )) as { tenants: Page };
  expect(data.tenants.edges.map(({ node }) => node)).toEqual(data.tenants.nodes);
  return data.tenants;
}

async function namesOf(args: object): Promise<string[]> {
  return (await tenants(args)).nodes.map(({ name }) => name);
}

test('all of them, in the order of creation', async () => {
  const page = await tenants({});
  expect(page.nodes.map(({ name }) => name)).toEqual(names);
  expect(page.pageInfo).toEqual({
    hasNextPage: false,
    hasPreviousPage: false,
    startCursor: page.edges[0]?.cursor,
    endCursor: page.edges[4]?.cursor,
  });
});

describe.each(['CREATED_AT', 'NAME', 'SUBDOMAIN'])('by %s', (field) => {
  test.each(['ASC', 'DESC'])('%s, forwards and backwards', async (direction) => {
    const orderBy = { field, direction };
    const whole = await namesOf({ orderBy });
    expect(whole.toSorted()).toEqual(names.toSorted());

    const forwards: string[] = [];
    for (let after: string | null = null; ; ) {
      const page = await tenants({ orderBy, first: 2, after });
      forwards.push(...page.nodes.map(({ name }) => name));
      expect(page.pageInfo.hasPreviousPage).toBe(after !== null);
      after = page.pageInfo.endCursor;
      if (!page.pageInfo.hasNextPage) break;
    }
    expect(forwards).toEqual(whole);

    const backwards: string[] = [];
    for (let before: string | null = null; ; ) {
      const page = await tenants({ orderBy, last: 2, before });
      backwards.unshift(...page.nodes.map(({ name }) => name));
      expect(page.pageInfo.hasNextPage).toBe(before !== null);
      before = page.pageInfo.startCursor;
      if (!page.pageInfo.hasPreviousPage) break;
    }
    expect(backwards).toEqual(whole);
  });
});

test('the orders are what they say', async () => {
  expect(await namesOf({ orderBy: { field: 'CREATED_AT', direction: 'DESC' } })).toEqual(names.toReversed());
  expect(await namesOf({ orderBy: { field: 'SUBDOMAIN' } })).toEqual(names.toReversed());
  const byName = await namesOf({ orderBy: { field: 'NAME' } });
  expect(await namesOf({ orderBy: { field: 'NAME', direction: 'DESC' } })).toEqual(byName.toReversed());
});

test('a page between two cursors', async () => {
  const { edges } = await tenants({});
  expect(await namesOf({ after: edges[0]?.cursor, before: edges[4]?.cursor })).toEqual(names.slice(1, 4));
  expect(await namesOf({ after: edges[0]?.cursor, before: edges[4]?.cursor, first: 2 })).toEqual(
    names.slice(1, 3),
  );
});

test('an empty page has no cursors', async () => {
  const { edges } = await tenants({});
  const nothing = { nodes: [], edges: [] };
  expect(await tenants({ after: edges[4]?.cursor })).toEqual({
    ...nothing,
    pageInfo: { hasNextPage: false, hasPreviousPage: true, startCursor: null, endCursor: null },
  });
  expect(await tenants({ first: 0 })).toEqual({
    ...nothing,
    pageInfo: { hasNextPage: true, hasPreviousPage: false, startCursor: null, endCursor: null },
  });
});

test('the cursor of another order is refused', async () => {
  const { edges } = await tenants({ orderBy: { field: 'NAME' } });
  await expect(tenants({ after: edges[0]?.cursor })).rejects.toThrow('after is not a cursor of this list');
});

test.each<[object, string[]]>([
  [{ tier: 'gold' }, ['Delta', 'Charlie', 'Echo']],
  [{ status: ['PROVISIONING', 'ERROR'] }, names],
  [{ status: ['ACTIVE'] }, []],
  [{ search: 'CH' }, ['Charlie']],
  [{ search: 'T5-' }, ['Delta']],
  [{ search: '%' }, []],
  [{ search: '_' }, []],
  [{ search: 'harlie' }, []],
  [{ contactEmail: 'ALPHA@paging.example' }, ['alpha']],
  [{ contactEmail: 'alpha@paging.exampl' }, []],
  [{ tier: 'gold', search: 'e' }, ['Echo']],
  [{ deleted: 'ONLY' }, []],
  [{ status: null, tier: null, search: null, contactEmail: null, deleted: null }, names],
])('the filter %j', async (filter, expected) => {
  expect(await namesOf({ filter })).toEqual(expected);
});

test("a tenant's operations, a page at a time", async () => {
  const { tenant } = await app.core.tenants.create(principal, {
    name: 'Busy',
    subdomain: 'busy',
    contactEmail: 'busy@paging.example',
  });
  await app.core.tenants.remove(principal, tenant.id);
  const query = `query ($id: ID!, $after: String) {
    tenant(id: $id, deleted: ONLY) {
      operations(first: 1, after: $after) {
        nodes { kind state steps { name } } edges { cursor } pageInfo { hasNextPage endCursor }
      }
    }
  }`;
  const first = (await client.data('admin', query, { id: tenant.id })) as {
    tenant: { operations: { pageInfo: { endCursor: string } } };
  };
  const cursor = expect.any(String);
  expect(first).toEqual({
    tenant: {
      operations: {
        nodes: [
          {
            kind: 'PROVISION',
            state: 'CANCELLED',
            steps: operationSteps.PROVISION.map((name) => ({ name })),
          },
        ],
        edges: [{ cursor }],
        pageInfo: { hasNextPage: true, endCursor: cursor },
      },
    },
  });
  const { endCursor } = first.tenant.operations.pageInfo;
  expect(await client.data('admin', query, { id: tenant.id, after: endCursor })).toEqual({
    tenant: {
      operations: {
        nodes: [{ kind: 'DELETE', state: 'PENDING', steps: operationSteps.DELETE.map((name) => ({ name })) }],
        edges: [{ cursor }],
        pageInfo: { hasNextPage: false, endCursor: cursor },
      },
    },
  });
});

test('a page of 100 tenants with their newest operation and its steps costs as many statements as one of 1', async () => {
  for (let index = 0; index < 100; index += 1) {
    await app.core.tenants.create(principal, {
      name: `Many ${index}`,
      subdomain: `many-${index}`,
      contactEmail: 'many@paging.example',
    });
  }
  const query = (first: number) =>
    `{ tenants(first: ${first}) { nodes { name operation { kind steps { name status } tenant { name } } } edges { node { status } } } }`;
  const page = async (first: number) => {
    const data = (await client.data('viewer', query(first))) as { tenants: { nodes: unknown[] } };
    expect(data.tenants.nodes).toHaveLength(first);
  };
  await page(1);
  const one = await countStatements(() => page(1));
  const hundred = await countStatements(() => page(100));
  expect([one, hundred]).toEqual([5, 5]);
});
