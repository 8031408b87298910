import fc from 'fast-check';
import {
  type GraphQLField,
  type GraphQLSchema,
  getNamedType,
  isCompositeType,
  isInterfaceType,
  isObjectType,
  isUnionType,
} from 'graphql';

/** Literals of any kind, mostly of the wrong one. */
const literal: fc.Arbitrary<string> = fc.oneof(
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map(String),
  fc.string({ maxLength: 20 }).map((text) => JSON.stringify(text)),
  fc.uuid().map((id) => JSON.stringify(id)),
  fc.constantFrom(
    'null',
    'true',
    'ACTIVE',
    'EXCLUDE',
    '{}',
    '[]',
    '[[1]]',
    '$v',
    '{ field: NAME }',
    '"""a"""',
  ),
);

/**
 * Documents that mostly keep the schema's rules and sometimes break them: fields with some of their arguments, deep and
 * wide, with aliases, directives and fragments. Subscriptions are not among them: one that is accepted does not end.
 */
export function documents(schema: GraphQLSchema): fc.Arbitrary<string> {
  const fieldsOf = (typeName: string): GraphQLField<unknown, unknown>[] => {
    const type = schema.getType(typeName);
    return isObjectType(type) || isInterfaceType(type) ? Object.values(type.getFields()) : [];
  };

  function selection(typeName: string, depth: number): fc.Arbitrary<string> {
    const type = schema.getType(typeName);
    const fields = fieldsOf(typeName).map((field) => selected(field, depth));
    const members =
      isUnionType(type) || isInterfaceType(type)
        ? schema
            .getPossibleTypes(type)
            .filter(() => depth > 0)
            .map(({ name }) => selection(name, depth - 1).map((inner) => `... on ${name} ${inner}`))
        : [];
    const plain = fc.constantFrom(
      '__typename',
      'x: __typename',
      'nothing',
      '...F',
      '__typename @skip(if: $v)',
    );
    return fc
      .array(fc.oneof(...fields, ...members, plain), { minLength: 1, maxLength: 5 })
      .map((parts) => `{ ${parts.join(' ')} }`);
  }

  function selected(field: GraphQLField<unknown, unknown>, depth: number): fc.Arbitrary<string> {
    const type = getNamedType(field.type);
    const inner =
      isCompositeType(type) && depth > 0 ? selection(type.name, depth - 1) : fc.constantFrom('', ' { id }');
    const args = fc
      .subarray([...field.args])
      .chain((some) => fc.tuple(...some.map(({ name }) => literal.map((value) => `${name}: ${value}`))))
      .map((all) => (all.length > 0 ? `(${all.join(', ')})` : ''));
    const alias = fc.constantFrom('', '', 'a: ', 'b: ');
    return fc
      .tuple(alias, args, inner)
      .map(([before, given, rest]) => `${before}${field.name}${given} ${rest}`);
  }

  const root = fc.constantFrom(['query', 'Query'] as const, ['mutation', 'Mutation'] as const);
  const operation = root.chain(([keyword, type]) =>
    selection(type, 5).map((body) => `${keyword} Q($v: Boolean = true) ${body}`),
  );
  const fragment = fc.constantFrom(
    '',
    'fragment F on Query { __typename }',
    'fragment F on Tenant { id ...F }',
    'fragment F on Node { id }',
  );
  const whole = fc.tuple(operation, fragment).map((parts) => parts.join(' '));
  const cut = fc
    .tuple(whole, fc.nat(), fc.nat(), fc.string({ unit: 'binary', maxLength: 3 }))
    .map(([text, from, length, put]) => {
      const at = from % (text.length + 1);
      return text.slice(0, at) + put + text.slice(at + (length % 8));
    });
  return fc.oneof({ weight: 3, arbitrary: whole }, cut, fc.string({ unit: 'binary', maxLength: 200 }));
}
