import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startTestApp, type TestApp } from '../../support/app.ts';
import { type GraphqlClient, graphqlClient } from '../graphql-client.ts';

// The checks of https://github.com/dolevf/graphql-cop, each by its title there, against the service in production. Its
// findings are what it would be answered; here stands what it is answered instead.

let app: TestApp;
let client: GraphqlClient;

beforeAll(async () => {
  app = await startTestApp({ worker: false, config: { production: true } });
  client = graphqlClient(app);
});
afterAll(() => app[Symbol.asyncDispose]());

/** What the service says of a document, errors alone. */
async function errorsOf(query: string) {
  const { body } = await client.run('admin', query);
  expect(body.data ?? null).toBeNull();
  return body.errors?.map(({ message, extensions }) => [extensions.code, message]);
}

function get(query: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${app.httpUrl}/graphql?query=${encodeURIComponent(query)}`, { headers });
}

const many = (count: number, text: (number: number) => string) =>
  Array.from({ length: count }, (_, number) => text(number)).join(' ');

describe('denial of service', () => {
  test('Alias Overloading', async () => {
    expect(await errorsOf(`query { ${many(101, (n) => `alias${n}:__typename`)} }`)).toEqual([
      ['LIMIT_EXCEEDED', 'The document has 101 aliases; at most 30 are allowed.'],
    ]);
  });

  test('Array-based Query Batching', async () => {
    const body = JSON.stringify(Array.from({ length: 10 }, () => ({ query: 'query { __typename }' })));
    const response = await client.post('admin', '', {}, { body });
    expect(await response.json()).toEqual({
      errors: [{ message: 'Batching is not supported.', extensions: { code: 'BAD_USER_INPUT' } }],
    });
  });

  test('Directive Overloading', async () => {
    expect(await errorsOf(`query { __typename ${'@aa'.repeat(10)} }`)).toEqual([
      ['LIMIT_EXCEEDED', 'The document has 10 directives in one place; at most 4 are allowed.'],
    ]);
  });

  test('Field Duplication', async () => {
    expect(await errorsOf(`query { ${many(500, () => '__typename')} }`)).toEqual([
      ['LIMIT_EXCEEDED', 'The document has 499 repeated fields; at most 20 are allowed.'],
    ]);
  });

  test('Introspection-based Circular Query', async () => {
    const query = `query { __schema { types { ${'fields { type { '.repeat(5)} name ${'} }'.repeat(5)} } } }`;
    const introspection =
      /^GraphQL introspection .* "(__schema|types)"\.$|^Maximum introspection depth exceeded$/;
    expect(await errorsOf(query)).toEqual(
      expect.arrayContaining([['BAD_USER_INPUT', expect.stringMatching(introspection)]]),
    );
  });
});

describe('cross-site request forgery', () => {
  test('GET Method Query Support', async () => {
    // It is what GraphQL over HTTP has; a page of another site cannot send the token, nor anything in its place.
    const ask = 'query { __typename }';
    expect((await get(ask)).status).toBe(200);
    expect(await (await get(ask)).json()).toMatchObject({
      errors: [{ extensions: { code: 'UNAUTHENTICATED' } }],
    });
    for (const site of ['cross-site', 'same-site']) {
      const response = await get(ask, { 'sec-fetch-site': site });
      expect([response.status, await response.json()]).toEqual([
        403,
        {
          errors: [
            {
              message:
                'A page of another site must send a header that browsers ask for first, such as authorization.',
              extensions: { code: 'FORBIDDEN' },
            },
          ],
        },
      ]);
    }
    const token = { authorization: `Bearer ${app.tokens.viewer}` };
    for (const headers of [token, { ...token, 'sec-fetch-site': 'cross-site' }])
      expect(await (await get(ask, headers)).json()).toEqual({ data: { __typename: 'Query' } });
  });

  test('Mutation is allowed over GET', async () => {
    const response = await get('mutation { __typename }', { authorization: `Bearer ${app.tokens.admin}` });
    expect([response.status, response.headers.get('allow')]).toEqual([405, 'POST']);
  });

  test('POST based url-encoded query', async () => {
    const response = await client.post(
      'admin',
      '',
      {},
      {
        body: new URLSearchParams({ query: 'query { __typename }' }),
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
      },
    );
    expect(response.status).toBe(415);
    const inAddress = await fetch(`${app.httpUrl}/graphql?query=%7B__typename%7D`, {
      method: 'POST',
      headers: { authorization: `Bearer ${app.tokens.admin}` },
    });
    expect(inAddress.status).toBe(415);
  });
});

describe('information leakage', () => {
  test('Field Suggestions', async () => {
    expect(await errorsOf('query { tenantz { nodes { id } } }')).toEqual([
      ['BAD_USER_INPUT', 'Cannot query field "tenantz" on type "Query".'],
    ]);
    expect(JSON.stringify(await errorsOf('query { __schema { directive } }'))).not.toContain('Did you mean');
  });

  test('GraphQL IDE', async () => {
    for (const path of ['/graphiql', '/playground', '/console', '/graphql']) {
      const response = await fetch(app.httpUrl + path, { headers: { accept: 'text/html' } });
      expect(await response.text()).not.toMatch(/graphiql|playground/i);
    }
  });

  test('Introspection', async () => {
    expect(await errorsOf('query { __schema { queryType { name } } }')).toEqual([
      [
        'BAD_USER_INPUT',
        'GraphQL introspection has been disabled, but the requested query contained the field "__schema".',
      ],
      [
        'BAD_USER_INPUT',
        'GraphQL introspection has been disabled, but the requested query contained the field "queryType".',
      ],
    ]);
  });

  test('Trace Mode', async () => {
    const { body } = await client.run('admin', 'query { __typename }');
    expect(body).toEqual({ data: { __typename: 'Query' } });
  });

  test('Unhandled Errors Detection', async () => {
    const { body } = await client.run('admin', 'qwerty cop { abc }');
    expect(body).toEqual({
      errors: [
        {
          message: 'Syntax Error: Unexpected Name "qwerty".',
          locations: [{ line: 1, column: 1 }],
          extensions: { code: 'BAD_USER_INPUT' },
        },
      ],
    });
  });
});
