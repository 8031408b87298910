import { errorTypeMap } from '@pothos/plugin-errors';
import type { GraphQLFieldResolver, GraphQLObjectType } from 'graphql';
import type { Attempt } from '../core/audit.ts';
import type { AuditAction } from '../core/audit-entry.ts';
import { codeOf, type DomainError, type ErrorCode } from '../core/errors.ts';
import type { GraphqlContext } from '../schema/context.ts';
import { operationId } from '../schema/node-id.ts';

/** What each mutation does, and to what. */
const mutations: ReadonlyMap<string, readonly [AuditAction, target?: 'tenant' | 'operation']> = new Map([
  ['createTenant', ['CREATE_TENANT']],
  ['updateTenant', ['UPDATE_TENANT', 'tenant']],
  ['suspendTenant', ['SUSPEND_TENANT', 'tenant']],
  ['resumeTenant', ['RESUME_TENANT', 'tenant']],
  ['deleteTenant', ['DELETE_TENANT', 'tenant']],
  ['restoreTenant', ['RESTORE_TENANT', 'tenant']],
  ['retryOperation', ['RETRY_OPERATION', 'operation']],
  ['cancelOperation', ['CANCEL_OPERATION', 'operation']],
]);

/**
 * Lets the audit log keep every refusal of a mutation. From outside of all plugins, so that it sees what they refuse:
 * roles too. A refusal comes back as a member of the result's union, or is thrown.
 * @throws {Error} when there is a mutation of which nothing is said above
 */
export function auditMutations(mutation: GraphQLObjectType | null | undefined): void {
  for (const [name, field] of Object.entries(mutation?.getFields() ?? {})) {
    const { resolve } = field;
    const known = mutations.get(name);
    if (resolve === undefined || known === undefined) {
      throw new Error(`the audit log does not know the mutation ${name}; add it to audited-mutations.ts`);
    }
    field.resolve = audited(resolve, known);
  }
}

function audited(
  resolve: GraphQLFieldResolver<unknown, GraphqlContext>,
  [action, target]: readonly [AuditAction, target?: 'tenant' | 'operation'],
): GraphQLFieldResolver<unknown, GraphqlContext> {
  return async (root, args, context, info) => {
    const { core, principal } = context;
    try {
      const result: unknown = await resolve(root, args, context, info);
      await core.audit.refused(principal, attemptOf(action, target, args), codeIn(result));
      return result;
    } catch (error) {
      await core.audit.refused(principal, attemptOf(action, target, args), codeOf(error));
      throw error;
    }
  };
}

/** The code of the error that a result is, if it is one: the plugin hides it behind a proxy of no class. */
function codeIn(result: unknown): ErrorCode | null {
  if (typeof result !== 'object' || result === null || !errorTypeMap.has(result)) return null;
  // All members of our unions that are errors are the domain's.
  return (result as DomainError).code;
}

function attemptOf(
  action: AuditAction,
  target: 'tenant' | 'operation' | undefined,
  args: Record<string, unknown>,
): Attempt {
  const { id } = Object(args.input ?? args) as Record<string, unknown>;
  if (target === 'tenant') return { action, tenantId: id };
  if (target === 'operation') return { action, operationId: operationId.safeParse(id).data };
  return { action };
}
