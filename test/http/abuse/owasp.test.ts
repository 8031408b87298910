import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Tenant } from '../../../src/core/model.ts';
import { lockTenant } from '../../grpc/tenant-lock.ts';
import { actor } from '../../support/actor.ts';
import { startTestApp, type TestApp } from '../../support/app.ts';
import { countStatements } from '../../support/count-statements.ts';
import { type GraphqlClient, graphqlClient } from '../graphql-client.ts';

// The list of https://cheatsheetseries.owasp.org/cheatsheets/GraphQL_Cheat_Sheet.html, each by its heading there, against
// the service in production.

let app: TestApp;
let client: GraphqlClient;
let tenant: Tenant;

beforeAll(async () => {
  app = await startTestApp({ worker: false, config: { production: true } });
  client = graphqlClient(app);
  const input = { name: 'Victim', subdomain: 'victim', contactEmail: 'jo@victim.example' };
  ({ tenant } = await app.core.tenants.create(actor('admin', 'test'), input));
});
afterAll(() => app[Symbol.asyncDispose]());

const errorsOf = async (...request: Parameters<GraphqlClient['run']>) =>
  (await client.run(...request)).body.errors?.map(({ message, extensions }) => [extensions.code, message]);

describe('input validation', () => {
  test.each(["' OR 1=1 --", "'; DROP TABLE tenants; --", '%', '_______', '\\', '$1', '{"$ne":null}'])(
    'Injection Prevention: %s is a text like another',
    async (search) => {
      const query = 'query ($f: TenantFilter!) { tenants(filter: $f) { nodes { id } } }';
      expect(await client.data('admin', query, { f: { search } })).toEqual({ tenants: { nodes: [] } });
      expect(await client.data('admin', query, { f: { tier: search } })).toEqual({ tenants: { nodes: [] } });
    },
  );

  test('General Practices: nothing but what is allowed gets in', async () => {
    const create = `mutation ($input: CreateTenantInput!) { createTenant(input: $input) {
      ... on ValidationError { fieldErrors { path } } ... on CreateTenantPayload { tenant { id } } } }`;
    const input = { name: 'a\u0000b', subdomain: '../etc', contactEmail: '|id', tier: 'x'.repeat(51) };
    expect(await client.data('admin', create, { input })).toEqual({
      createTenant: { fieldErrors: ['name', 'subdomain', 'contactEmail', 'tier'].map((path) => ({ path })) },
    });
  });
});

describe('denial of service', () => {
  test('Query Limiting (Depth)', async () => {
    const nested = `{ tenant(id: "${tenant.id}") { ${'operation { tenant { '.repeat(6)} id ${'} }'.repeat(6)} } }`;
    expect(await errorsOf('viewer', nested)).toEqual([
      ['LIMIT_EXCEEDED', 'The document has 14 levels of fields; at most 12 are allowed.'],
    ]);
  });

  test('Query Limiting (Amount), Pagination', async () => {
    expect(await errorsOf('viewer', '{ tenants(first: 101) { nodes { id } } }')).toEqual([
      ['BAD_USER_INPUT', 'first must be at most 100'],
    ]);
    const nested = '{ tenants(first: 1) { nodes { operations(first: 2147483647) { nodes { id } } } } }';
    expect(await errorsOf('viewer', nested)).toEqual(
      expect.arrayContaining([['BAD_USER_INPUT', expect.any(String)]]),
    );
  });

  test('Query Cost Analysis', async () => {
    const pages = (first: number) =>
      `{ tenants(first: ${first}) { nodes { operations(first: 100) { nodes { steps { name } } } } } }`;
    expect(await errorsOf('viewer', pages(100))).toEqual([
      [
        'LIMIT_EXCEEDED',
        'The request asks for up to 60100 objects; at most 2000 are allowed: ask for smaller pages.',
      ],
    ]);
    expect(await errorsOf('viewer', pages(3))).toBeUndefined();
  });

  test('Timeouts', async () => {
    await using hasty = await startTestApp({ worker: false, timings: { requestLimitMs: 500 } });
    const input = { name: 'Held', subdomain: 'held', contactEmail: 'jo@held.example' };
    const held = await hasty.core.tenants.create(actor('admin', 'test'), input);
    await using lock = await lockTenant(hasty.database, held.tenant.id);
    const rename = 'mutation ($id: ID!) { updateTenant(input: { id: $id, name: "Late" }) { __typename } }';
    const { body } = await graphqlClient(hasty).run('editor', rename, { id: held.tenant.id });
    expect(body).toEqual({
      errors: [
        {
          message: 'The request took longer than 0.5 seconds and was ended; ask for less at once.',
          extensions: { code: 'LIMIT_EXCEEDED' },
        },
      ],
    });
    // Its statement ends as well.
    await vi.waitFor(async () => expect(await lock.waiting()).toBe(0), 5_000);
  });

  test('Server-side Batching: relations of a page are read together', async () => {
    const ask = '{ tenants(first: 100) { nodes { operation { steps { name } } } } }';
    const statements = await countStatements(() => client.data('viewer', ask));
    expect(statements).toBe(4);
  });
});

describe('access control', () => {
  test('General Data Access: nothing without a token', async () => {
    for (const ask of ['{ __typename }', '{ nonsense }', `{ node(id: "${tenant.id}") { id } }`])
      expect(await errorsOf(null, ask)).toEqual([['UNAUTHENTICATED', expect.any(String)]]);
  });

  test('Query Access: what a role may not read is null by every way to it', async () => {
    const ways = `query ($id: ID!) {
      tenant(id: $id) { contactEmail }
      node(id: $id) { ... on Tenant { contactEmail } }
      nodes(ids: [$id]) { ... on Tenant { contactEmail } }
      tenants { edges { node { contactEmail } } nodes { operation { tenant { contactEmail } } } }
    }`;
    const hidden = { contactEmail: null };
    expect(await client.data('viewer', ways, { id: tenant.id })).toEqual({
      tenant: hidden,
      node: hidden,
      nodes: [hidden],
      tenants: { edges: [{ node: hidden }], nodes: [{ operation: { tenant: hidden } }] },
    });
  });

  test('Mutation Access', async () => {
    const remove = 'mutation ($id: ID!) { deleteTenant(id: $id) { __typename } }';
    for (const role of ['viewer', 'editor'] as const)
      expect(await errorsOf(role, remove, { id: tenant.id })).toEqual([['FORBIDDEN', expect.any(String)]]);
  });
});

describe('batching attacks', () => {
  test('many requests in one document count as what they ask for', async () => {
    const guesses = Array.from(
      { length: 31 },
      (_, n) => `g${n}: tenantBySubdomain(subdomain: "guess${n}") { id }`,
    );
    expect(await errorsOf('viewer', `{ ${guesses.join(' ')} }`)).toEqual([
      ['LIMIT_EXCEEDED', 'The document has 31 aliases; at most 30 are allowed.'],
    ]);
    // Without aliases, by fragments.
    const pages = Array.from({ length: 25 }, (_, n) => `p${n}: tenants(first: 100) { ...N }`);
    const document = `{ ${pages.join(' ')} } fragment N on QueryTenantsConnection { nodes { id } }`;
    expect(await errorsOf('viewer', document)).toEqual([
      [
        'LIMIT_EXCEEDED',
        'The request asks for up to 2500 objects; at most 2000 are allowed: ask for smaller pages.',
      ],
    ]);
  });

  test('several operations are one at a time', async () => {
    expect(await errorsOf('viewer', 'query A { __typename } query B { __typename }')).toEqual([
      ['BAD_USER_INPUT', expect.any(String)],
    ]);
  });
});

describe('secure configurations', () => {
  test('Introspection + GraphiQL', async () => {
    for (const ask of ['{ __schema { types { name } } }', '{ __type(name: "Tenant") { name } }'])
      expect(await errorsOf('admin', ask)).toEqual(
        expect.arrayContaining([
          ['BAD_USER_INPUT', expect.stringContaining('introspection has been disabled')],
        ]),
      );
    const page = await fetch(`${app.httpUrl}/graphql`, { headers: { accept: 'text/html' } });
    expect(await page.text()).not.toContain('<html');
  });

  test("Don't Return Excessive Errors", async () => {
    const fields = Array.from({ length: 100 }, (_, n) => `field${n}`).join(' ');
    const errors = await errorsOf('viewer', `{ ${fields} }`);
    expect(errors).toHaveLength(10);
    const inputs = { tenantIds: Array.from({ length: 60 }, () => ({ not: 'an id' })) };
    const feed = 'query ($tenantIds: [ID!]!) { nodes(ids: $tenantIds) { id } }';
    const answer = JSON.stringify(await errorsOf('viewer', feed, inputs));
    expect(JSON.parse(answer).length).toBeLessThanOrEqual(10);
    expect(answer).not.toMatch(/node_modules|\.ts:|stack/);
  });
});
