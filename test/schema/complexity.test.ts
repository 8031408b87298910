import { parse } from 'graphql';
import { expect, test } from 'vitest';
import { createSchema } from '../../src/resolvers/schema.ts';
import { createObjectCounter } from '../../src/schema/complexity.ts';

const count = createObjectCounter(createSchema());

test.each<[string, number]>([
  ['{ __typename }', 0],
  ['{ tenant(id: "x") { name operation { kind } } }', 2],
  ['{ tenants { nodes { id } } }', 20],
  ['{ tenants { edges { cursor node { id } } pageInfo { hasNextPage } } }', 20],
  ['{ tenants(first: 100) { nodes { operation { steps { name } } } } }', 700],
  ['{ tenants(last: 7) { nodes { operations(first: 3) { nodes { id } } } } }', 28],
  // The fields themselves refuse these.
  ['{ tenants(first: -1) { nodes { id } } }', 0],
  ['{ tenants(first: 2147483647) { nodes { id } } }', 100],
  ['{ node(id: "x") { id } nodes(ids: ["x", "y"]) { id ... on Tenant { operation { id } } } }', 5],
  [
    '{ a: tenants(first: 2) { ...P } b: tenants(first: 3) { ...P } } fragment P on QueryTenantsConnection { nodes { id } }',
    5,
  ],
  ['mutation { deleteTenant(id: "x") { ... on DeleteTenantPayload { tenant { id } operation { id } } } }', 3],
  ['subscription { provisioningFeed { sequence } }', 1],
])('%s asks for %i objects', (query, objects) => {
  const document = parse(query);
  expect(count({ document })).toBe(objects);
  // Once more, since it is remembered.
  expect(count({ document })).toBe(objects);
});

test('a size in a variable is read again each time', () => {
  const document = parse('query ($n: Int = 9) { tenants(first: $n) { nodes { id } } }');
  expect(count({ document, variableValues: { n: 3 } })).toBe(3);
  expect(count({ document, variableValues: { n: 50 } })).toBe(50);
  expect(count({ document })).toBe(9);
});

test('of several operations the one that is named counts', () => {
  const document = parse(
    'query A { tenants(first: 1) { nodes { id } } } query B { tenants { nodes { id } } }',
  );
  expect(count({ document, operationName: 'A' })).toBe(1);
  expect(count({ document, operationName: 'B' })).toBe(20);
  expect(count({ document })).toBeNull();
});

test('variables that cannot be taken are an error', () => {
  const document = parse('query ($n: Int!) { tenants(first: $n) { nodes { id } } }');
  expect(() => count({ document, variableValues: { n: 'x' } })).toThrow('Variable "$n"');
});
