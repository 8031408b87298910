import { complexityFromQuery, type FieldComplexityValue } from '@pothos/plugin-complexity';
import {
  type DocumentNode,
  type ExecutionArgs,
  type GraphQLField,
  type GraphQLSchema,
  getNamedType,
  getNullableType,
  getOperationAST,
  isLeafType,
  isListType,
  isObjectType,
  Kind,
  type OperationDefinitionNode,
  visit,
} from 'graphql';
import { defaultSize, maxSize } from './connections.ts';

/** What a list counts that has no size in the query: an operation has five steps at most. */
const listSize = 5;

/**
 * How many objects a field adds to an answer, at most; Pothos' plugin calls it complexity. A page counts its items, and
 * so many times what is selected of them. What Relay puts around the items counts nothing, nor do scalars.
 */
export function objectsOf(
  args: Readonly<Record<string, unknown>>,
  _context: unknown,
  { name, type }: Pick<GraphQLField<unknown, unknown>, 'name' | 'type'>,
): FieldComplexityValue {
  const named = getNamedType(type);
  if (isLeafType(named) || named.name === 'PageInfo') return 0;
  if (named.name.endsWith('Connection'))
    return { field: 0, multiplier: pageSizeOf(args.first ?? args.last ?? defaultSize) };
  // Of a connection: as many as its page, which counts them; so one here, in an edge together with its node.
  const inPage = args.id === undefined && args.ids === undefined;
  if (inPage && name === 'node') return 0;
  if (named.name.endsWith('Edge') || (inPage && name === 'nodes')) return { field: 1, multiplier: 1 };
  if (!isListType(getNullableType(type))) return 1;
  const size = Array.isArray(args.ids) ? pageSizeOf(args.ids.length) : listSize;
  return { field: size, multiplier: size };
}

/** What is not a size that may be is refused for that reason, by the field itself. */
function pageSizeOf(size: unknown): number {
  return typeof size === 'number' ? Math.min(Math.max(size, 0), maxSize) : defaultSize;
}

/** The arguments that `objectsOf` looks at. */
const sizes = new Set(['first', 'last', 'ids']);

export type CountedOperation = Pick<ExecutionArgs, 'document' | 'operationName' | 'variableValues'>;

/**
 * A function that says how many objects an operation may answer with, at most; null when it is not said which operation.
 * It throws `GraphQLError` for variables that the operation cannot take.
 * @param schema one of its own: it cannot be executed afterwards
 */
export function createObjectCounter(schema: GraphQLSchema) {
  // Whether arguments are good is for the fields to say, each of its own; the plugin would ask here already.
  for (const type of Object.values(schema.getTypeMap()).filter(isObjectType)) {
    for (const field of Object.values(type.getFields()))
      field.extensions = { ...field.extensions, pothosArgMappers: [] };
  }
  // Forgotten with the document, which Yoga remembers.
  const known = new WeakMap<
    OperationDefinitionNode,
    { readonly counted: DocumentNode; objects: number | null }
  >();

  return ({ document, operationName, variableValues }: CountedOperation): number | null => {
    const operation = getOperationAST(document, operationName);
    if (operation === null || operation === undefined) return null;
    const entry = known.get(operation) ?? { counted: withoutTypenames(document, operation), objects: null };
    known.set(operation, entry);
    if (entry.objects !== null) return entry.objects;
    const { complexity } = complexityFromQuery(entry.counted, { schema, variables: { ...variableValues } });
    if (!hasVariableSizes(entry.counted)) entry.objects = complexity;
    return complexity;
  };
}

export type ObjectCounter = ReturnType<typeof createObjectCounter>;

/** The operation with its fragments, first, where the plugin looks for it; `__typename` would count as an object there. */
function withoutTypenames(document: DocumentNode, operation: OperationDefinitionNode): DocumentNode {
  const fragments = document.definitions.filter(({ kind }) => kind === Kind.FRAGMENT_DEFINITION);
  return visit(
    { ...document, definitions: [operation, ...fragments] },
    { Field: ({ name }) => (name.value === '__typename' ? null : undefined) },
  );
}

function hasVariableSizes(document: DocumentNode): boolean {
  let found = false;
  visit(document, {
    Argument({ name, value }) {
      // A list may hold variables too.
      if (sizes.has(name.value) && value.kind !== Kind.INT) found = true;
    },
  });
  return found;
}
