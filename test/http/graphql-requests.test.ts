import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { lockTenant } from '../grpc/tenant-lock.ts';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { asAdministrator } from '../support/database.ts';
import { type GraphqlClient, graphqlClient } from './graphql-client.ts';

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startTestApp({ worker: false });
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

const ask = '{ __typename }';

/** A request as it is, with a viewer's token. */
function request(init: RequestInit, path = '/graphql'): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('authorization', `Bearer ${app.tokens.viewer}`);
  return fetch(`${app.httpUrl}${path}`, { ...init, headers });
}

const json = { 'content-type': 'application/json' };

describe('a request', () => {
  test('may be a POST of JSON or a GET', async () => {
    const answer = { data: { __typename: 'Query' } };
    const body = JSON.stringify({ query: ask });
    expect(await (await request({ method: 'POST', headers: json, body })).json()).toEqual(answer);
    const charset = { 'content-type': 'application/json; charset=utf-8' };
    expect(await (await request({ method: 'POST', headers: charset, body })).json()).toEqual(answer);
    expect(await (await request({}, `/graphql?query=${encodeURIComponent(ask)}`)).json()).toEqual(answer);
  });

  test.each<[string, RequestInit, number, string]>([
    ['a form', { method: 'POST', body: new URLSearchParams({ query: ask }) }, 415, 'BAD_USER_INPUT'],
    ['text', { method: 'POST', body: ask }, 415, 'BAD_USER_INPUT'],
    [
      'a bare document',
      { method: 'POST', headers: { 'content-type': 'application/graphql' }, body: ask },
      415,
      'BAD_USER_INPUT',
    ],
    ['no JSON', { method: 'POST', headers: json, body: '{"query": "a@b.example' }, 200, 'BAD_USER_INPUT'],
    ['no object', { method: 'POST', headers: json, body: '1' }, 400, 'BAD_USER_INPUT'],
    ['no query', { method: 'POST', headers: json, body: '{}' }, 200, 'BAD_USER_INPUT'],
    ['no text', { method: 'POST', headers: json, body: '{"query":{}}' }, 400, 'BAD_USER_INPUT'],
    ['a batch', { method: 'POST', headers: json, body: `[{"query":"${ask}"}]` }, 400, 'BAD_USER_INPUT'],
    ['a PUT', { method: 'PUT', headers: json, body: `{"query":"${ask}"}` }, 405, 'BAD_USER_INPUT'],
    [
      'a long body',
      { method: 'POST', headers: json, body: JSON.stringify({ query: `#${'x'.repeat(300_000)}` }) },
      413,
      'LIMIT_EXCEEDED',
    ],
    [
      'a long body without a length',
      {
        method: 'POST',
        headers: json,
        body: new Blob(['x'.repeat(300_000)]).stream(),
        ...{ duplex: 'half' },
      },
      413,
      'LIMIT_EXCEEDED',
    ],
  ])('of %s is refused', async (_what, init, status, code) => {
    const response = await request(init);
    const text = await response.text();
    expect([response.status, JSON.parse(text)]).toEqual([
      status,
      { errors: [{ message: expect.any(String), extensions: { code } }] },
    ]);
    expect(text).not.toContain('a@b.example');
  });

  test('may come without a length', async () => {
    const body = new Blob([JSON.stringify({ query: ask })]).stream();
    const response = await request({ method: 'POST', headers: json, body, ...{ duplex: 'half' } });
    expect(await response.json()).toEqual({ data: { __typename: 'Query' } });
  });

  test.each(['variables', 'extensions'])('with %s that are no JSON are refused', async (parameter) => {
    const response = await request({}, `/graphql?query=${encodeURIComponent(ask)}&${parameter}=%7B`);
    expect([response.status, await response.json()]).toEqual([
      400,
      {
        errors: [
          { message: `The parameter "${parameter}" must be JSON.`, extensions: { code: 'BAD_USER_INPUT' } },
        ],
      },
    ]);
  });

  test('cannot change anything by GET', async () => {
    const mutation = 'mutation { deleteTenant(id: "00000000-0000-0000-0000-000000000000") { __typename } }';
    const response = await request({}, `/graphql?query=${encodeURIComponent(mutation)}`);
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
  });
});

describe('a document', () => {
  const input = { subdomain: 'x', contactEmail: 'jo@secret.example' };
  test.each<[string, string, unknown, string]>([
    ['that cannot be parsed', 'query { "jo@secret.example"', {}, 'BAD_USER_INPUT'],
    ['with a field that is not there', '{ tennants { id } }', {}, 'BAD_USER_INPUT'],
    [
      'with a literal of the wrong type',
      '{ tenants(filter: "jo@secret.example") { nodes { id } } }',
      {},
      'BAD_USER_INPUT',
    ],
    [
      'with a variable that lacks a field',
      'mutation ($input: CreateTenantInput!) { createTenant(input: $input) { __typename } }',
      { input },
      'BAD_USER_INPUT',
    ],
    [
      'with a variable of the wrong type',
      'mutation ($input: CreateTenantInput!) { createTenant(input: $input) { __typename } }',
      { input: { ...input, name: 1, contactEmail: ['jo@secret.example'] } },
      'BAD_USER_INPUT',
    ],
    ['without its variable', 'query ($id: ID!) { tenant(id: $id) { id } }', {}, 'BAD_USER_INPUT'],
    [
      'with null where a default was',
      'query ($order: OrderDirection) { tenants(orderBy: { field: NAME, direction: $order }) { nodes { id } } }',
      { order: null },
      'BAD_USER_INPUT',
    ],
    [
      'of several operations and no name',
      'query A { __typename } query B { __typename }',
      {},
      'BAD_USER_INPUT',
    ],
    [
      'with a quoted address of the wrong type',
      'mutation ($input: CreateTenantInput!) { createTenant(input: $input) { __typename } }',
      { input: { ...input, name: 'x', contactEmail: ['"jo secret.example"@host'] } },
      'BAD_USER_INPUT',
    ],
  ])('%s is refused without quoting an address', async (_what, query, variables, code) => {
    const { body } = await client.run('admin', query, variables);
    expect(body.errors?.map(({ extensions }) => extensions.code)).toContain(code);
    expect(JSON.stringify(body)).not.toMatch(/secret\.example|node_modules|\.ts:/);
  });
});

describe('the status', () => {
  const graphql = 'application/graphql-response+json';
  test.each<[string, 'viewer' | null, string, number]>([
    ['no token', null, ask, 401],
    ['a document that cannot be parsed', 'viewer', '{', 400],
    ['an unknown field', 'viewer', '{ x }', 400],
    ['a missing variable', 'viewer', 'query ($id: ID!) { tenant(id: $id) { id } }', 400],
    ['a good query', 'viewer', ask, 200],
    ['an error in one field', 'viewer', '{ tenant(id: "x") { id } }', 200],
  ])(
    'of %s tells clients that accept application/graphql-response+json',
    async (_what, role, query, status) => {
      const modern = await client.post(role, query, {}, { headers: { accept: graphql } });
      expect(modern.status).toBe(status);
      expect(modern.headers.get('content-type')).toMatch(graphql);
      const legacy = await client.post(role, query, {});
      expect(legacy.status).toBe(200);
      expect(legacy.headers.get('content-type')).toMatch('application/json');
      expect(await legacy.json()).toEqual(await modern.json());
    },
  );

  test('of a request without a token comes with the way to have one', async () => {
    const response = await client.post(null, ask, {}, { headers: { accept: graphql } });
    expect(response.headers.get('www-authenticate')).toBe('Bearer');
  });
});

describe('browsers', () => {
  const origin = 'https://dashboard.example';
  const preflight = (httpUrl: string, from: string) =>
    fetch(`${httpUrl}/graphql`, {
      method: 'OPTIONS',
      headers: {
        origin: from,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization',
      },
    });
  const allowed = ({ headers }: Response) => headers.get('access-control-allow-origin');

  test('of other origins are not let in, unless told', async () => {
    expect(allowed(await preflight(app.httpUrl, origin))).toBeNull();
    await using open = await startTestApp({
      worker: false,
      config: { corsOrigins: [origin, 'https://b.example'] },
    });
    const response = await preflight(open.httpUrl, origin);
    expect(Object.fromEntries(response.headers)).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': 'GET, POST',
      'access-control-allow-headers': 'authorization, content-type',
      vary: 'Origin',
    });
    expect(response.headers.get('access-control-allow-credentials')).toBeNull();
    for (const stranger of ['https://evil.example', 'null', 'https://dashboard.example.evil.example']) {
      expect(allowed(await preflight(open.httpUrl, stranger))).toBeNull();
    }
  });

  test('see GraphiQL in development only', async () => {
    const page = async ({ httpUrl }: TestApp) => {
      const response = await fetch(`${httpUrl}/graphql`, { headers: { accept: 'text/html' } });
      return response.headers.get('content-type');
    };
    await using production = await startTestApp({ worker: false, config: { production: true } });
    expect(await page(app)).toBe('text/html');
    expect(await page(production)).not.toBe('text/html');
  });
});

describe('an error that nobody foresaw', () => {
  test('is masked; the log has it under the request id', async () => {
    await using broken = await startTestApp({ worker: false });
    await asAdministrator(broken.administrator, 'ALTER TABLE tenants RENAME COLUMN tier TO tear');
    const { body } = await graphqlClient(broken).run('viewer', '{ tenants { nodes { id } } }');
    const requestId = body.errors?.[0]?.extensions.requestId;
    expect(body).toEqual({
      data: null,
      errors: [
        {
          message: `Something went wrong here; the log has more under the request id ${requestId}.`,
          locations: [{ line: 1, column: 3 }],
          path: ['tenants'],
          extensions: { code: 'INTERNAL', requestId: expect.stringMatching(/^[0-9a-f-]{36}$/) },
        },
      ],
    });
    const line = broken.logged.find((logged) => logged.includes(String(requestId)));
    expect(JSON.parse(line ?? '{}')).toMatchObject({
      requestId,
      path: ['tenants'],
      err: { stack: expect.any(String) },
    });
  });
});

test('a client that goes away ends its statement', async () => {
  const { tenant } = await app.core.tenants.create(actor('admin', 'test'), {
    name: 'Held',
    subdomain: 'held',
    contactEmail: 'owner@held.example',
  });
  await using lock = await lockTenant(app.database, tenant.id);
  const abort = new AbortController();
  const rename = client.post(
    'editor',
    'mutation ($id: ID!) { updateTenant(input: { id: $id, name: "Renamed" }) { __typename } }',
    { id: tenant.id },
    { signal: abort.signal },
  );
  await vi.waitFor(async () => expect(await lock.waiting()).toBe(1), 5_000);
  abort.abort();
  await expect(rename).rejects.toThrow('aborted');
  await vi.waitFor(async () => expect(await lock.waiting()).toBe(0), 5_000);
});

test('the log names operations at the level debug, never what they hold', async () => {
  await client.data(
    'editor',
    'mutation Hire($input: CreateTenantInput!) { createTenant(input: $input) { __typename } }',
    { input: { name: 'Quiet', subdomain: 'quiet', contactEmail: 'jo@quiet.example' } },
  );
  const line = app.logged.find((logged) => logged.includes('"name":"Hire"'));
  expect(JSON.parse(line ?? '{}')).toMatchObject({
    operation: 'mutation',
    name: 'Hire',
    subject: 'test-editor',
    role: 'editor',
  });
  expect(app.logged.join('\n')).not.toContain('quiet.example');
});
