import { readFileSync } from 'node:fs';
import { isObjectType, isUnionType, printSchema } from 'graphql';
import { expect, test } from 'vitest';
import { createSchema } from '../../src/resolvers/schema.ts';

const schema = createSchema();

test('schema.graphql is the schema', () => {
  expect(readFileSync('schema.graphql', 'utf8')).toBe(`${printSchema(schema)}\n`);
});

test('every mutation answers with its payload or with errors that share the interface Error', () => {
  const mutations = Object.values(schema.getMutationType()?.getFields() ?? {});
  expect(mutations.map(({ name }) => name).sort()).toEqual([
    'cancelOperation',
    'createTenant',
    'deleteTenant',
    'restoreTenant',
    'resumeTenant',
    'retryOperation',
    'suspendTenant',
    'updateTenant',
  ]);
  for (const { name, type } of mutations) {
    const result = 'ofType' in type ? type.ofType : type;
    if (!isUnionType(result)) throw new Error(`${name} does not answer with a union`);
    const capital = `${name[0]?.toUpperCase()}${name.slice(1)}`;
    expect(result.name).toBe(`${capital}Result`);
    const payloads = result
      .getTypes()
      .filter((member) => !member.getInterfaces().some((shared) => shared.name === 'Error'));
    expect(payloads.map((payload) => payload.name)).toEqual([`${capital}Payload`]);
  }
});

test('only nodes and errors implement interfaces, and no type holds what is secret', () => {
  const objects = Object.values(schema.getTypeMap()).filter(isObjectType);
  const fields = objects.flatMap((type) => Object.keys(type.getFields()));
  for (const secret of ['contactEmailIndex', 'lastSequence', 'fence', 'leaseUntil', 'password']) {
    expect(fields).not.toContain(secret);
  }
});
