import { createHash } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApp, type TestApp } from '../../support/app.ts';
import { type GraphqlClient, graphqlClient } from '../graphql-client.ts';

const ask = 'query Trusted { __typename }';
const page = 'query Page($first: Int!) { tenants(first: $first) { nodes { id } } }';
const sha256 = createHash('sha256').update(ask).digest('hex');
const browser = { 'sec-fetch-site': 'same-origin' };
const good = { data: { __typename: 'Query' } };

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  const trustedDocuments = new Map([
    [sha256, ask],
    ['page', page],
    ['too-much', `{ ${'__typename '.repeat(40)} }`],
  ]);
  app = await startTestApp({ worker: false, config: { trustedDocuments } });
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

async function send(body: object, headers: Record<string, string> = browser): Promise<unknown> {
  const response = await client.post('viewer', '', {}, { body: JSON.stringify(body), headers });
  return response.json();
}

const refused = (code: string, message: string) => ({ errors: [{ message, extensions: { code } }] });

test('browsers may send a trusted document, by its id or as it is', async () => {
  expect(await send({ documentId: sha256 })).toEqual(good);
  expect(await send({ extensions: { persistedQuery: { version: 1, sha256Hash: sha256 } } })).toEqual(good);
  expect(await send({ query: ask })).toEqual(good);
  expect(await send({ documentId: 'page', variables: { first: 1 } })).toEqual({
    data: { tenants: { nodes: [] } },
  });
});

test.each([browser, { origin: 'https://dashboard.example' }])(
  'browsers (%j) may send no other',
  async (headers) => {
    const answer = refused(
      'FORBIDDEN',
      'Browsers may send trusted documents alone (--trusted-documents), and this is none.',
    );
    for (const query of ['{ __typename }', `${ask} `, 'query {'])
      expect(await send({ query }, headers)).toEqual(answer);
    // Not beside an id that is trusted, either.
    expect(await send({ query: '{ __typename }', documentId: sha256 }, headers)).toEqual(answer);
  },
);

test('others may send what they like, and ids too', async () => {
  expect(await send({ query: '{ __typename }' }, {})).toEqual(good);
  expect(await send({ documentId: sha256 }, {})).toEqual(good);
});

test('an id that is not there is refused', async () => {
  const answer = refused('BAD_USER_INPUT', 'There is no trusted document with this id.');
  expect(await send({ documentId: 'jo@a.example' })).toEqual(answer);
  expect(await send({ extensions: { persistedQuery: { version: 1, sha256Hash: 'x' } } }, {})).toEqual(answer);
  expect(await send({ documentId: 7 })).toEqual(refused('BAD_USER_INPUT', 'Must provide query string.'));
});

test('an id that is not there is counted as refused', async () => {
  const refusals = async () => {
    const page = await (await fetch(`${app.httpUrl}/metrics`)).text();
    const line =
      /^graphql_operation_duration_seconds_count{operation_type="unknown",outcome="refused"} (\d+)$/m;
    return Number(line.exec(page)?.[1] ?? 0);
  };
  const before = await refusals();
  await send({ documentId: 'nothing' });
  expect(await refusals()).toBe(before + 1);
});

test('a GET may name one by its hash', async () => {
  const extensions = JSON.stringify({ persistedQuery: { version: 1, sha256Hash: sha256 } });
  const response = await fetch(`${app.httpUrl}/graphql?extensions=${encodeURIComponent(extensions)}`, {
    headers: { authorization: `Bearer ${app.tokens.viewer}` },
  });
  expect(await response.json()).toEqual(good);
});

test('trusted documents are held to the limits, and need a token', async () => {
  expect(await send({ documentId: 'too-much' })).toMatchObject({
    errors: [{ extensions: { code: 'LIMIT_EXCEEDED' } }],
  });
  const response = await client.post(null, ask, {}, { headers: browser });
  expect(await response.json()).toMatchObject({ errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] });
});

test('without the list an id is no document', async () => {
  await using other = await startTestApp({ worker: false });
  const body = JSON.stringify({ documentId: sha256 });
  const response = await graphqlClient(other).post('viewer', '', {}, { body });
  expect(await response.json()).toEqual(refused('BAD_USER_INPUT', 'Must provide query string.'));
});
