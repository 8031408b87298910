import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { documentLimits } from '../../src/http/document-excess.ts';
import { type Answer, type GraphqlClient, graphqlClient } from '../http/graphql-client.ts';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp } from '../support/app.ts';

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startTestApp({ worker: false });
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

/** What people and attackers write. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.constantFrom(
    '',
    ' ',
    '\u0000',
    '\u202eacme',
    "'; DROP TABLE tenants; --",
    '%',
    '_%\\',
    '__proto__',
    'constructor',
    'xn--80ak6aa92e',
    '\ud800',
    'a@b.co',
    'a\u0000@b.co',
    'operation_',
    'x'.repeat(20_000),
  ),
  fc.uuid(),
  fc.uuid().map((id) => `operation_${id}`),
  fc.string({ maxLength: 300 }).map((value) => Buffer.from(value).toString('base64url')),
  // Cursors that look like ours.
  fc
    .tuple(
      fc.constantFrom('CREATED_AT', 'NAME', 'OPERATION'),
      fc.oneof(fc.string(), fc.date({ noInvalidDate: true })),
      fc.uuid(),
    )
    .map((position) => Buffer.from(JSON.stringify(position)).toString('base64url')),
);
const number = fc.oneof(
  fc.integer({ min: -2_147_483_648, max: 2_147_483_647 }),
  fc.integer({ min: -1, max: 101 }),
  fc.double(),
  fc.constantFrom(2 ** 53, -0, 1e300),
);
const anything = fc.oneof(text, number, fc.boolean(), fc.constant(null), fc.jsonValue({ maxDepth: 2 }));
/** Usually of the right type, so that it reaches beyond GraphQL's own checks. */
const id = fc.oneof({ weight: 4, arbitrary: text }, anything);
const string = fc.option(id, { nil: undefined });
const int = fc.option(fc.oneof({ weight: 4, arbitrary: number }, anything), { nil: undefined });
const ids = fc.oneof(fc.array(text, { maxLength: 5 }), anything);
const choice = (...values: string[]) => fc.oneof(fc.constantFrom(...values, null, undefined), anything);

const deleted = choice('EXCLUDE', 'INCLUDE', 'ONLY');
const filter = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record(
      { status: ids, tier: string, search: string, contactEmail: string, deleted },
      { requiredKeys: [] },
    ),
  },
  anything,
);
const order = fc.oneof(
  fc.record({ field: choice('CREATED_AT', 'NAME', 'SUBDOMAIN'), direction: choice('ASC', 'DESC') }),
  fc.constant(undefined),
  anything,
);
const createInput = fc.record({
  name: id,
  subdomain: id,
  contactEmail: id,
  tier: string,
  idempotencyKey: string,
});
const updateInput = fc.record({
  id,
  expectedVersion: int,
  name: string,
  subdomain: string,
  contactEmail: string,
  tier: string,
});

type Variables = fc.Arbitrary<Record<string, unknown>>;
const byId = (field: string): [string, Variables] => [
  `mutation ($id: ID!) { ${field}(id: $id) { __typename ... on Error { code message } } }`,
  fc.record({ id }),
];
const operations: [string, Variables][] = [
  ['query ($id: ID!) { node(id: $id) { id } }', fc.record({ id })],
  ['query ($ids: [ID!]!) { nodes(ids: $ids) { id } }', fc.record({ ids })],
  [
    'query ($id: ID!, $deleted: DeletedFilter) { tenant(id: $id, deleted: $deleted) { id } }',
    fc.record({ id, deleted }),
  ],
  [
    'query ($subdomain: String!) { tenantBySubdomain(subdomain: $subdomain) { id } }',
    fc.record({ subdomain: id }),
  ],
  [
    `query ($first: Int, $after: String, $last: Int, $before: String, $filter: TenantFilter, $orderBy: TenantOrder) {
      tenants(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy) { nodes { id } }
    }`,
    fc.record(
      { first: int, after: string, last: int, before: string, filter, orderBy: order },
      { requiredKeys: [] },
    ),
  ],
  [
    `query ($first: Int, $after: String) {
      tenants(first: 1) { nodes { operations(first: $first, after: $after) { nodes { id } } } }
    }`,
    fc.record({ first: int, after: string }),
  ],
  ['query ($id: ID!) { operation(id: $id) { id } }', fc.record({ id })],
  [
    'mutation ($input: CreateTenantInput!) { createTenant(input: $input) { __typename ... on Error { code message } } }',
    fc.record({ input: fc.oneof({ weight: 6, arbitrary: createInput }, anything) }),
  ],
  [
    'mutation ($input: UpdateTenantInput!) { updateTenant(input: $input) { __typename ... on Error { code message } } }',
    fc.record({ input: fc.oneof({ weight: 6, arbitrary: updateInput }, anything) }),
  ],
  ...[
    'suspendTenant',
    'resumeTenant',
    'deleteTenant',
    'restoreTenant',
    'retryOperation',
    'cancelOperation',
  ].map(byId),
  [
    'subscription ($id: ID!, $after: Int) { tenantProvisioning(tenantId: $id, after: $after) { sequence } }',
    fc.record({ id, after: int }),
  ],
  // One id that is none, for a feed that is accepted never ends.
  [
    'subscription ($ids: [ID!]) { provisioningFeed(tenantIds: $ids) { sequence } }',
    fc.record({ ids: fc.array(id, { maxLength: 5 }).map((some) => [...some, 'nobody']) }),
  ],
];

const understood = ['BAD_USER_INPUT', 'NOT_FOUND'];

async function answer(query: string, variables: unknown): Promise<Answer['body']> {
  const response = await client.post('admin', query, variables, {
    headers: { accept: query.startsWith('subscription') ? 'text/event-stream' : 'application/json' },
  });
  const body = await response.text();
  expect(body).not.toMatch(/node_modules|\.ts:\d|prisma|select |insert /i);
  return JSON.parse(/^data: (.+)$/m.exec(body)?.[1] ?? body);
}

test('no value in any argument of any field is an internal error', async () => {
  // Something to find.
  await app.core.tenants.create(actor('admin', 'test'), {
    name: 'First',
    subdomain: 'first',
    contactEmail: 'first@example.com',
  });
  const calls = fc.oneof(
    ...operations.map(([query, variables]) => variables.map((given) => [query, given] as const)),
  );
  await fc.assert(
    fc.asyncProperty(calls, async ([query, variables]) => {
      const { errors = [] } = await answer(query, variables);
      for (const { extensions } of errors) expect(understood).toContain(extensions.code);
    }),
    { numRuns: 800 },
  );
}, 120_000);

test('nor is any value that stands in the document itself', async () => {
  await fc.assert(
    fc.asyncProperty(anything, async (value) => {
      const literal = JSON.stringify(value);
      const document = `{ node(id: ${literal}) { id } tenants(first: ${literal}, filter: { search: ${literal}, tier: ${literal} }) { nodes { id } } }`;
      const { errors = [] } = await answer(document, {});
      const expected = document.length > documentLimits.length ? ['LIMIT_EXCEEDED'] : understood;
      for (const { extensions } of errors) expect(expected).toContain(extensions.code);
    }),
    { numRuns: 200 },
  );
});
