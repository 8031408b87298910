import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { issueToken } from '../../../src/http/token.ts';
import { startTestApp, type TestApp } from '../../support/app.ts';
import { type GraphqlClient, graphqlClient } from '../graphql-client.ts';

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startTestApp({
    worker: false,
    config: { rateLimit: 2, trustedDocuments: new Map([['ask', '{ __typename }']]) },
  });
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

const browser = { 'sec-fetch-site': 'same-origin' };

const pages = Array.from({ length: 21 }, (_, n) => `p${n}: tenants(first: 100) { nodes { id } } `).join('');

test.each<[string, object, Record<string, string>]>([
  ['is good', { query: '{ __typename }' }, {}],
  ['names a trusted document', { documentId: 'ask' }, {}],
  ['cannot be parsed', { query: '{' }, {}],
  ['is not valid', { query: '{ nonsense }' }, {}],
  ['is too long', { query: `{ __typename } #${'x'.repeat(17_000)}` }, {}],
  ['has too many tokens', { query: `{ ${'__typename '.repeat(2_001)} }` }, {}],
  ['repeats a field too often', { query: `{ ${'__typename '.repeat(30)} }` }, {}],
  ['asks for too many objects', { query: `{ ${pages} }` }, {}],
  ['does not say which operation', { query: 'query A { __typename } query B { __typename }' }, {}],
  [
    'has variables that cannot be',
    { query: 'query ($n: Int!) { tenants(first: $n) { nodes { id } } }', variables: { n: 'x' } },
    {},
  ],
  ['names a document that is not there', { documentId: 'nothing' }, {}],
  ['is not trusted', { query: '{ tenants { nodes { id } } }' }, browser],
  ['has no document', {}, {}],
])('a request that %s counts as one object, once', async (_what, body, headers) => {
  const ask = async (token: string) => {
    const response = await client.post(
      null,
      '',
      {},
      {
        body: JSON.stringify(body),
        headers: {
          accept: 'application/graphql-response+json',
          authorization: `Bearer ${token}`,
          ...headers,
        },
      },
    );
    const { errors } = (await response.json()) as { errors?: readonly { readonly message: string }[] };
    return [response.status, response.headers.get('retry-after'), errors?.map(({ message }) => message)];
  };
  // Three requests fit into the second of somebody new, or nearly always.
  await vi.waitFor(async () => {
    const token = await issueToken(app.secret, { subject: randomUUID(), role: 'viewer', expiresIn: 60 });
    const over = [
      429,
      '1',
      [expect.stringMatching(/^You may ask for 2 objects a second; try again in \d{1,4} ms\.$/)],
    ];
    const first = await ask(token);
    expect(first).not.toEqual(over);
    expect(await ask(token)).toEqual(first);
    expect(await ask(token)).toEqual(over);
  }, 10_000);
});

test('who sends no good token has nothing counted', async () => {
  for (let n = 0; n < 5; n += 1) {
    const { body } = await client.run(null, '{');
    expect(body.errors?.map(({ extensions }) => extensions.code)).toEqual(['UNAUTHENTICATED']);
  }
});
