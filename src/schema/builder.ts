import SchemaBuilder from '@pothos/core';
import ComplexityPlugin from '@pothos/plugin-complexity';
import ErrorsPlugin from '@pothos/plugin-errors';
import PrismaPlugin from '@pothos/plugin-prisma';
import RelayPlugin from '@pothos/plugin-relay';
import ScopeAuthPlugin from '@pothos/plugin-scope-auth';
import ValidationPlugin from '@pothos/plugin-validation';
import { ForbiddenError, ValidationError } from '../core/errors.ts';
import { type Role, roleIncludes } from '../core/model.ts';
import { fieldErrorsOf, pageSize } from '../core/validation.ts';
import type PrismaTypes from '../generated/pothos.ts';
import { getDatamodel } from '../generated/pothos.ts';
import { objectsOf } from './complexity.ts';
import type { GraphqlContext } from './context.ts';
import { decodeNodeId, encodeNodeId, nodeId, nodeIds } from './node-id.ts';
import { hideDeleted } from './visibility.ts';

/**
 * A builder without types. Pothos registers by side effect, so a builder at module level would make the import order
 * part of the program; here each type is a function that takes the builder and answers the reference to what it added,
 * and `addTypes` shows them all.
 */
export function createBuilder() {
  return new SchemaBuilder<{
    Context: GraphqlContext;
    PrismaTypes: PrismaTypes;
    DefaultFieldNullability: false;
    AuthScopes: Record<Role, boolean>;
    Scalars: { ID: { Input: string; Output: string }; DateTime: { Input: Date; Output: Date } };
  }>({
    // Validation stands behind Relay so that it sees ids as the caller wrote them.
    plugins: [ScopeAuthPlugin, ErrorsPlugin, PrismaPlugin, RelayPlugin, ComplexityPlugin, ValidationPlugin],
    defaultFieldNullability: false,
    scopeAuth: {
      authorizeOnSubscribe: true,
      authScopes: ({ principal: { role } }) => ({
        viewer: roleIncludes(role, 'viewer'),
        editor: roleIncludes(role, 'editor'),
        admin: roleIncludes(role, 'admin'),
      }),
      unauthorizedError: (_parent, { principal }, { parentType, fieldName }) =>
        new ForbiddenError(
          `The role "${principal.role}" may not use ${parentType.name}.${fieldName} this way; a higher role is needed.`,
        ),
    },
    errors: {
      directResult: true,
      defaultUnionOptions: {
        name: ({ fieldName }) => `${fieldName[0]?.toUpperCase()}${fieldName.slice(1)}Result`,
      },
    },
    prisma: { client: ({ prismaIncludingDeleted }) => prismaIncludingDeleted, dmmf: getDatamodel() },
    relay: {
      encodeGlobalID: (typename, id) => encodeNodeId(typename, String(id)),
      decodeGlobalID: decodeNodeId,
      nodesOnConnection: true,
      firstArgOptions: { validate: pageSize },
      lastArgOptions: { validate: pageSize },
      nodeQueryOptions: {
        args: { id: { validate: nodeId } },
        resolve: async (_root, { id }, _context, _info, load) => hideDeleted(await load(id)),
      },
      nodesQueryOptions: {
        args: { ids: { validate: nodeIds } },
        resolve: async (_root, { ids }, _context, _info, load) => (await load(ids)).map(hideDeleted),
      },
    },
    // Counted per field; how many are too many is seen before an operation runs, once for all its root fields.
    complexity: { fieldComplexity: objectsOf },
    validation: { validationError: ({ issues }) => new ValidationError(fieldErrorsOf(issues)) },
  });
}

export type Builder = ReturnType<typeof createBuilder>;
