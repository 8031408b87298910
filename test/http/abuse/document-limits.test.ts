import { getIntrospectionQuery, parse } from 'graphql';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { excessOf } from '../../../src/http/document-excess.ts';
import { startTestApp, type TestApp } from '../../support/app.ts';
import { type GraphqlClient, graphqlClient } from '../graphql-client.ts';

describe('a document', () => {
  const many = (count: number, text: (number: number) => string) =>
    Array.from({ length: count }, (_, number) => text(number)).join(' ');
  const deep = (levels: number) => `${'a { '.repeat(levels - 1)}a${' }'.repeat(levels - 1)}`;

  test.each<[string, string, string | null]>([
    ['of 12 levels', `{ ${deep(12)} }`, null],
    ['of 13 levels', `{ ${deep(13)} }`, '13 levels of fields; at most 12'],
    [
      'whose fragments make 13 levels',
      `{ a { ...F } } fragment F on T { a { ...G } } fragment G on T { ... { ${deep(11)} } }`,
      '13 levels of fields; at most 12',
    ],
    [
      'whose fragment stands high and deep',
      `{ ...F a { a { ...F } } } fragment F on T { ${deep(11)} }`,
      '13 levels of fields; at most 12',
    ],
    [
      'whose fragments are in a circle',
      '{ ...F } fragment F on T { a { ...G } } fragment G on T { b { ...F } }',
      null,
    ],
    ['with a fragment that is not there', '{ ...F }', null],
    ['of 30 aliases', `{ ${many(30, (n) => `a${n}: b`)} }`, null],
    ['of 31 aliases', `{ a { ${many(31, (n) => `a${n}: b`)} } }`, '31 aliases; at most 30'],
    ['of 20 directives', `query @a { ${many(19, (n) => `a${n} @skip(if: true)`)} }`, null],
    [
      'of 21 directives',
      `query @a { ${many(20, (n) => `a${n} @skip(if: true)`)} }`,
      '21 directives; at most 20',
    ],
    ['of 5 directives on one field', '{ a @a @b @c @d @e }', '5 directives in one place; at most 4'],
    ['of 20 repeated fields', `{ a ${many(20, () => 'a')} }`, null],
    ['of 21 repeated fields', `{ a ${many(21, () => 'a')} }`, '21 repeated fields; at most 20'],
    ['that repeats fields elsewhere', `{ ${many(30, (n) => `a${n} { id }`)} }`, null],
    ['that asks for the schema', getIntrospectionQuery(), null],
  ])('%s', (_what, text, excess) => {
    expect(excessOf(parse(text))).toBe(excess && `The document has ${excess} are allowed.`);
  });

  test('whose fragments would unfold to millions of fields is looked at without unfolding them', () => {
    const fragments = many(150, (n) => `fragment F${n} on T { a { ...F${n + 1} } b { ...F${n + 1} } }`);
    expect(excessOf(parse(`{ ...F0 } ${fragments} fragment F150 on T { id }`))).toContain('151 levels');
  });
});

describe('the service', () => {
  let app: TestApp;
  let client: GraphqlClient;
  beforeAll(async () => {
    app = await startTestApp({ worker: false });
    client = graphqlClient(app);
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const errorsOf = async (query: string) =>
    (await client.run('viewer', query)).body.errors?.map(({ message, extensions }) => [
      extensions.code,
      message,
    ]);

  test('takes documents of 2000 tokens and 16384 characters', async () => {
    const tokens = (count: number) =>
      `{ tenants(filter: { status: [${'ACTIVE '.repeat(count - 16)}] }) { __typename } }`;
    expect(await errorsOf(tokens(2_001))).toEqual([
      ['LIMIT_EXCEEDED', 'The document has more tokens; at most 2000 are allowed.'],
    ]);
    // Not the tokens are too many now.
    expect(await errorsOf(tokens(2_000))).not.toEqual([['LIMIT_EXCEEDED', expect.any(String)]]);
    const ask = '{ __typename }';
    expect(await errorsOf(ask.padEnd(16_384))).toBeUndefined();
    expect(await errorsOf(ask.padEnd(16_385))).toEqual([
      ['LIMIT_EXCEEDED', 'The document has 16385 characters; at most 16384 are allowed.'],
    ]);
  });

  test('refuses the same document again, which it remembers', async () => {
    const query = `{ ${'__typename '.repeat(40)} }`;
    const refused = [['LIMIT_EXCEEDED', 'The document has 39 repeated fields; at most 20 are allowed.']];
    expect([await errorsOf(query), await errorsOf(query)]).toEqual([refused, refused]);
  });

  test('answers the introspection that GraphiQL asks for in development', async () => {
    const query = getIntrospectionQuery({ inputValueDeprecation: true, schemaDescription: true });
    expect(await client.data('viewer', query)).toHaveProperty('__schema.types');
  });

  test('says nothing of its limits to strangers', async () => {
    const { body } = await client.run(null, '{ __typename }'.padEnd(20_000));
    expect(body.errors?.map(({ extensions }) => extensions.code)).toEqual(['UNAUTHENTICATED']);
  });

  test('refuses with 400 where clients want to be told', async () => {
    const headers = { accept: 'application/graphql-response+json' };
    const response = await client.post('viewer', `{ ${'__typename '.repeat(40)} }`, {}, { headers });
    expect(response.status).toBe(400);
  });
});
