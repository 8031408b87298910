import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { eventually } from '../support/eventually.ts';

// A query takes the short path when its text was executed twice before, and its answer may be remembered from the third
// time on: so the first answer is Yoga's, and the fifth one may be the fourth one.

let app: TestApp;
let tenantId: string;
let operationId: string;

beforeAll(async () => {
  app = await startTestApp({ worker: false });
  const { tenant, operation } = await app.core.tenants.create(actor('admin', 'test'), {
    name: 'First "quoted" \u2028',
    subdomain: 'first',
    contactEmail: 'first@example.com',
  });
  tenantId = tenant.id;
  operationId = `operation_${operation.id}`;
});
afterAll(() => app[Symbol.asyncDispose]());

interface Case {
  readonly query: string;
  readonly variables?: unknown;
  readonly role?: 'viewer' | 'editor' | 'admin' | null;
  readonly headers?: Readonly<Record<string, string>>;
  readonly others?: Readonly<Record<string, unknown>>;
}

async function send({ query, variables, role = 'admin', headers = {}, others = {} }: Case, to = app) {
  const response = await fetch(`${to.httpUrl}/graphql`, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      ...(role !== null && { authorization: `Bearer ${to.tokens[role]}` }),
      ...headers,
    },
    body: JSON.stringify({ query, variables, ...others }),
  });
  const body = await response.text();
  return {
    status: response.status,
    headers: Object.fromEntries([...response.headers].filter(([name]) => name !== 'date')),
    // Each failure has a request id of its own.
    body: body.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, (id) => (id === tenantId ? id : 'some-id')),
  };
}

let unique = 0;

/** The same query under a text that nobody has sent yet. */
function fresh(query: string): string {
  unique += 1;
  return `${query} # ${unique}`;
}

/** The answers to the same request, the first one Yoga's, and the others, which go each way that there is. */
async function answers(given: Case) {
  const once = { ...given, query: fresh(given.query) };
  const first = await send(once);
  const others = [];
  for (let n = 0; n < 4; n++) others.push(await send(once));
  return { first, others };
}

const fields = '{ id name subdomain tier status version schemaVersion createdAt updatedAt deletedAt }';
const byId = `query Tenant($id: ID!, $deleted: DeletedFilter) { tenant(id: $id, deleted: $deleted) ${fields} }`;

const cases: Record<string, () => Case> = {
  'a tenant': () => ({ query: byId, variables: { id: tenantId } }),
  'a viewer, who sees no contact': () => ({
    query: 'query ($id: ID!) { tenant(id: $id) { id contactEmail } }',
    variables: { id: tenantId },
    role: 'viewer',
  }),
  'an admin, who sees it': () => ({
    query: 'query ($id: ID!) { tenant(id: $id) { id contactEmail } }',
    variables: { id: tenantId },
  }),
  'a page of tenants with their newest operations': () => ({
    query: `query ($order: TenantOrder) {
      tenants(first: 2, orderBy: $order) {
        edges { cursor node { ...T operation { id kind state attempt error createdAt startedAt finishedAt } } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
      none: tenants(filter: { status: [INACTIVE] }) { nodes { name } pageInfo { endCursor } }
    }
    fragment T on Tenant ${fields}`,
    variables: { order: { field: 'SUBDOMAIN', direction: 'DESC' } },
  }),
  'a page behind a cursor of another order': () => ({
    query:
      '{ tenants(after: "WyJOQU1FIiwiYSIsIjAxOThjMGRlLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMCJd") { nodes { id } } }',
  }),
  'an unknown tenant': () => ({ query: byId, variables: { id: '0198c0de-0000-7000-8000-000000000000' } }),
  'an id that is none': () => ({ query: byId, variables: { id: 'nobody' } }),
  'a variable that is missing': () => ({ query: byId, variables: {} }),
  'no variables': () => ({ query: byId }),
  'variables that are null': () => ({ query: byId, variables: null }),
  'a variable of another type': () => ({ query: byId, variables: { id: { of: 'another' } } }),
  'an enum value that is none': () => ({ query: byId, variables: { id: tenantId, deleted: 'MAYBE' } }),
  'a variable that nobody asked for': () => ({ query: byId, variables: { id: tenantId, other: [1] } }),
  'variables that are a list': () => ({ query: byId, variables: [tenantId] }),
  'what a role may not do': () => ({
    query: byId,
    variables: { id: tenantId, deleted: 'INCLUDE' },
    role: 'editor',
  }),
  'what an admin may': () => ({ query: byId, variables: { id: tenantId, deleted: 'INCLUDE' } }),
  'a field that is refused beside others': () => ({
    query: '{ tenants(first: 2) { totalFirst: nodes { id pool { max } } pageInfo { hasNextPage } } }',
    role: 'viewer',
  }),
  'relations, fragments, aliases and directives': () => ({
    query: `query Page($with: Boolean!, $first: Int) {
      page: tenants(first: $first) {
        edges { cursor node { ...Some } }
        nodes { __typename newest: operation @include(if: $with) { id kind steps { name status } tenant { id } } }
        pageInfo { hasNextPage hasPreviousPage startCursor endCursor }
      }
    }
    fragment Some on Tenant { id ... on Node { id } operations(first: 2) { nodes { state } } name @skip(if: $with) }`,
    variables: { with: true, first: 3 },
  }),
  'a fragment that is left out in one place and not in another': () => ({
    query: `query ($id: ID!, $a: Boolean!) {
      tenant(id: $id) { ...F @skip(if: $a) ...F ... on Tenant @include(if: $a) { ...G } ...G @skip(if: $a) __proto__: name }
    }
    fragment F on Tenant { tier } fragment G on Tenant { status }`,
    variables: { id: tenantId, a: true },
  }),
  'nodes of several types': () => ({
    query:
      '($ids: [ID!]!) { nodes(ids: $ids) { __typename id ... on Tenant { name } ... on Operation { kind } } }'.replace(
        '(',
        'query (',
      ),
    variables: { ids: [tenantId, operationId, tenantId, 'operation_0198c0de-0000-7000-8000-000000000000'] },
  }),
  'a page that is too large': () => ({ query: '{ tenants(first: 101) { nodes { id } } }' }),
  'too many objects': () => ({
    query: '{ tenants(first: 100) { nodes { operations(first: 100) { nodes { id } } } } }',
  }),
  'values in the document': () => ({
    query: String.raw`{ tenants(filter: { search: "\"; } \\ \u2028 \u0000 */ '" }) { nodes { id } }
      other: tenantBySubdomain(subdomain: """ first
      """) { name } }`,
  }),
  introspection: () => ({ query: '{ __schema { queryType { name } } __type(name: "Tenant") { kind } }' }),
  'an operation by its name': () => ({
    query: byId,
    variables: { id: tenantId },
    others: { operationName: 'Tenant' },
  }),
  'a name that is none': () => ({
    query: byId,
    variables: { id: tenantId },
    others: { operationName: 'Other' },
  }),
  'an empty name': () => ({ query: byId, variables: { id: tenantId }, others: { operationName: '' } }),
  'several operations': () => ({
    query: 'query A { tenants { nodes { id } } } query B { tenants { nodes { name } } }',
    others: { operationName: 'B' },
  }),
  extensions: () => ({ query: byId, variables: { id: tenantId }, others: { extensions: { a: 1 } } }),
  'a parameter that is unknown': () => ({ query: byId, variables: { id: tenantId }, others: { a: 1 } }),
  'nobody that is known': () => ({ query: byId, variables: { id: tenantId }, role: null }),
  'a token that is none': () => ({
    query: byId,
    variables: { id: tenantId },
    headers: { authorization: 'Bearer a.b.c' },
  }),
  'no document that can be parsed': () => ({ query: '{ tenants {' }),
  'no document that is valid': () => ({ query: '{ tenants { nodes { nothing } } }' }),
  'another content type': () => ({ query: '{ __typename }', headers: { 'content-type': 'text/plain' } }),
  'a content type with its charset': () => ({
    query: '{ __typename }',
    headers: { 'content-type': 'application/json; charset=utf-8' },
  }),
};

describe('the short path answers what Yoga answers', () => {
  test.each(Object.entries(cases))('%s', async (_name, given) => {
    const { first, others } = await answers(given());
    for (const other of others) expect(other).toEqual(first);
  });

  const accepted = [
    '*/*',
    'application/json, text/plain, */*',
    'application/graphql-response+json',
    'application/graphql-response+json, application/json',
    'application/graphql-response+json,application/json;q=0.9',
    'application/json;q=0.5, application/graphql-response+json',
    'text/event-stream',
    'text/html',
  ];
  test.each(accepted)('accept: %s', async (accept) => {
    for (const id of [tenantId, 'nobody', { of: 'another' }]) {
      const { first, others } = await answers({ query: byId, variables: { id }, headers: { accept } });
      for (const other of others) expect(other).toEqual(first);
    }
  });

  test('what fails here is masked, and logged once', async () => {
    await using administrator = await connected(app);
    const query = fresh('{ tenants { nodes { name } } }');
    for (let n = 0; n < 3; n++) await send({ query });
    await administrator.client.query('ALTER TABLE tenants RENAME COLUMN name TO name_away');
    try {
      const failed = () => app.logged.filter((line) => line.includes('a GraphQL operation failed')).length;
      const before = failed();
      const ours = await send({ query });
      expect(failed()).toBe(before + 1);
      const yogas = await send({ query: fresh('{ tenants { nodes { name } } }') });
      expect(JSON.parse(ours.body).errors[0].extensions.code).toBe('INTERNAL');
      expect(ours).toEqual(yogas);
    } finally {
      await administrator.client.query('ALTER TABLE tenants RENAME COLUMN name_away TO name');
    }
  });
});

test('a body that is no JSON, or no object, is refused', async () => {
  const bodies = ['', '{', 'null', '"text"', '[]', '[{"query":"{ __typename }"}]', '{}', '\ufeff{}', '1'];
  for (const body of bodies) {
    const response = await fetch(`${app.httpUrl}/graphql`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${app.tokens.admin}` },
      body,
    });
    const { errors } = (await response.json()) as { errors: { extensions: { code: string } }[] };
    expect([body, errors[0]?.extensions.code]).toEqual([body, 'BAD_USER_INPUT']);
  }
});

test('objects are counted on the short path as well', async () => {
  await using limited = await startTestApp({ worker: false, config: { rateLimit: 5 } });
  const query = '{ tenants(first: 3) { nodes { id } } }';
  const served = () =>
    eventually(async () => (await send({ query }, limited)).body.includes('"data"'), 10_000);
  for (let n = 0; n < 3; n++) await served();
  const { headers, body } = await eventually(async () => {
    const answer = await send({ query }, limited);
    return answer.body.includes('"errors"') && answer;
  }, 10_000);
  expect(JSON.parse(body).errors[0].extensions.code).toBe('LIMIT_EXCEEDED');
  expect(Number(headers['retry-after'])).toBeGreaterThan(0);
});

describe('a query that waits', () => {
  const query = '{ tenants(first: 1) { nodes { id } } }';

  /** An app whose short path knows the query, and a lock that it has to wait for. */
  async function waiting(requestLimitMs: number) {
    await using stack = new AsyncDisposableStack();
    const waiter = stack.use(await startTestApp({ worker: false, timings: { requestLimitMs } }));
    for (let n = 0; n < 2; n++) await send({ query }, waiter);
    const { client } = stack.use(await connected(waiter));
    await client.query('BEGIN; LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE');
    const owned = stack.move();
    return {
      waiter,
      statements: async () => {
        const found = await client.query(
          "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        );
        return found.rowCount;
      },
      [Symbol.asyncDispose]: () => owned.disposeAsync(),
    };
  }

  test('is ended when its time is over', async () => {
    await using setup = await waiting(300);
    const { body } = await send({ query }, setup.waiter);
    expect(JSON.parse(body).errors[0].extensions.code).toBe('LIMIT_EXCEEDED');
    await eventually(async () => (await setup.statements()) === 0, 10_000);
  });

  test('is ended when its client goes away', async () => {
    await using setup = await waiting(30_000);
    const abort = new AbortController();
    const request = fetch(`${setup.waiter.httpUrl}/graphql`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${setup.waiter.tokens.admin}`,
      },
      body: JSON.stringify({ query }),
      signal: abort.signal,
    });
    await eventually(async () => (await setup.statements()) === 1, 10_000);
    abort.abort();
    await expect(request).rejects.toThrow();
    await eventually(async () => (await setup.statements()) === 0, 10_000);
  });
});

async function connected({ administrator }: TestApp) {
  const client = new Client(administrator);
  await client.connect();
  return { client, [Symbol.asyncDispose]: () => client.end() };
}
