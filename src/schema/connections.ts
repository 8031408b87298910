import { queryFromInfo } from '@pothos/plugin-prisma';
import { type PageInfoShape, resolveCursorConnection } from '@pothos/plugin-relay';
import type { GraphQLResolveInfo } from 'graphql';
import type { AuditEntry } from '../core/audit-entry.ts';
import { auditCursor, operationCursor, parseCursor, type TenantOrder, tenantCursor } from '../core/cursor.ts';
import { ValidationError } from '../core/errors.ts';
import type { Operation, Tenant } from '../core/model.ts';
import type { AuditFilter, TenantFilter } from '../core/validation.ts';
import type { GraphqlContext } from './context.ts';
import { selects } from './selected-fields.ts';

/** How many items a page has when the caller does not say. */
export const defaultSize = 20;

// `validate` has refused sizes beyond core's largest page, so the plugin's own clamp never acts.
export const maxSize = 100;

interface PageArguments {
  readonly first?: number | null | undefined;
  readonly last?: number | null | undefined;
  readonly after?: string | null | undefined;
  readonly before?: string | null | undefined;
}

/** Where a connection's items stand in the query, for the Prisma plugin to find what is selected of them. */
const itemPaths = [['nodes'], ['edges', 'node']];

/**
 * A page of tenants: one call into core, with the selected relations along.
 * @throws {ValidationError} for `first` with `last`, and for a cursor of another list
 */
export async function tenantsConnection(
  args: PageArguments,
  { filter, order }: { readonly filter: TenantFilter; readonly order: TenantOrder },
  context: GraphqlContext,
  info: GraphQLResolveInfo,
) {
  refuseBothEnds(args);
  const selection = queryFromInfo({ context, info, typeName: 'Tenant', paths: itemPaths });
  const connection = await resolveCursorConnection<Promise<Tenant[]>>(
    { args, defaultSize, maxSize, toCursor: (tenant) => tenantCursor(tenant, order.field) },
    async ({ after, before, limit, inverted }) => {
      const { tenants } = await context.core.tenants.list(
        {
          filter,
          order,
          after: after === undefined ? null : parseCursor(after, order.field, 'after'),
          before: before === undefined ? null : parseCursor(before, order.field, 'before'),
          limit,
          inverted,
        },
        comesAlong(selection, info) ? null : selection,
      );
      return tenants;
    },
  );
  return withoutEmptyCursors(connection);
}

/**
 * Whether pages of tenants have what is selected of them anyway: their columns without the contact's, and the newest
 * operations'. The plugin's query names relations alone.
 */
function comesAlong({ include = {}, ...others }: Selection, info: GraphQLResolveInfo): boolean {
  const { operation = true, ...relations } = include;
  return (
    operation === true &&
    [others, relations].every((more) => Object.keys(more).length === 0) &&
    !selects(info, 'contactEmail')
  );
}

interface Selection {
  readonly include?: Readonly<Record<string, unknown>> | undefined;
}

/** A page of one tenant's operations, oldest first. @throws {ValidationError} for a cursor of another list */
export async function operationsConnection(
  tenantId: string,
  args: Pick<PageArguments, 'first' | 'after'>,
  context: GraphqlContext,
  info: GraphQLResolveInfo,
) {
  const selection = queryFromInfo({ context, info, typeName: 'Operation', paths: itemPaths });
  const connection = await resolveCursorConnection<Promise<Operation[]>>(
    { args, defaultSize, maxSize, toCursor: operationCursor },
    ({ after, limit, inverted }) =>
      context.core.operations.list(
        tenantId,
        {
          after: after === undefined ? null : parseCursor(after, 'OPERATION', 'after'),
          before: null,
          limit,
          inverted,
        },
        selection,
      ),
  );
  return withoutEmptyCursors(connection);
}

/**
 * A page of the audit log, the newest first.
 * @throws {ValidationError} for `first` with `last`, and for a cursor of another list
 */
export async function auditConnection(
  args: PageArguments,
  filter: AuditFilter,
  { core }: Pick<GraphqlContext, 'core'>,
) {
  refuseBothEnds(args);
  const connection = await resolveCursorConnection<Promise<AuditEntry[]>>(
    { args, defaultSize, maxSize, toCursor: auditCursor },
    ({ after, before, limit, inverted }) =>
      core.audit.list({
        filter,
        after: after === undefined ? null : parseCursor(after, 'AUDIT', 'after'),
        before: before === undefined ? null : parseCursor(before, 'AUDIT', 'before'),
        limit,
        inverted,
      }),
  );
  return withoutEmptyCursors(connection);
}

/** @throws {ValidationError} */
function refuseBothEnds({ first, last }: PageArguments): void {
  if (first != null && last != null) {
    throw new ValidationError([{ path: 'last', message: 'cannot be given together with first' }]);
  }
}

/** The plugin gives an empty page the cursors of the question, or ''; Relay's specification has none there. */
function withoutEmptyCursors<Edge>(connection: {
  readonly edges: readonly Edge[];
  readonly pageInfo: PageInfoShape;
}): { edges: readonly Edge[]; pageInfo: PageInfoShape } {
  const { edges, pageInfo } = connection;
  return {
    edges,
    pageInfo: edges.length > 0 ? pageInfo : { ...pageInfo, startCursor: null, endCursor: null },
  };
}
