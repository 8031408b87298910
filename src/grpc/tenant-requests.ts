import { z } from 'zod';
import { parseCursor, type TenantOrder } from '../core/cursor.ts';
import { deletedFilters, tenantStatuses } from '../core/model.ts';
import type { TenantQuery } from '../core/ports.ts';
import { pageSize, parse, sequenceNumber, tenantFilter, uuid } from '../core/validation.ts';
import type { ListTenantsRequest } from '../generated/proto/tenant/v1/tenant.ts';

/** What core's rules of mutations do not cover. Every schema throws `ValidationError` through core's `parse`. */

const defaultPageSize = 50;
const maxPageSize = 100;
/** The order of ListTenants, and of its page tokens. */
export const listOrder: TenantOrder = { field: 'CREATED_AT', direction: 'ASC' };

/** A request that names one tenant or operation. */
export const byId = z.object({ id: uuid });

export const watchRequest = z.object({ tenant_id: uuid, after_sequence: sequenceNumber });

/** A name of core's as the proto writes it: in lower case, and in no other. */
function lowerCase<const Name extends string>(names: readonly Name[]) {
  const spelled = new Map(names.map((name) => [name.toLowerCase(), name]));
  const error = `must be one of ${[...spelled.keys()].join(', ')}`;
  return z.string().transform((value, context) => {
    const name = spelled.get(value);
    if (name !== undefined) return name;
    context.issues.push({ code: 'custom', message: error, input: value });
    return z.NEVER;
  });
}

/** UpdateTenant's wish; empty is none. */
export const wantedStatus = z.object({ status: absentWhenEmpty(lowerCase(tenantStatuses)) });

const listRequest = z.object({
  page_size: pageSize,
  status: z.array(lowerCase(tenantStatuses)).max(100, 'has too many values'),
  tier: absentWhenEmpty(tenantFilter.shape.tier),
  search: absentWhenEmpty(tenantFilter.shape.search),
  deleted: absentWhenEmpty(lowerCase(deletedFilters)),
});

/** proto3 has no null: an empty string is an absent one. */
function absentWhenEmpty<S extends z.ZodType>(schema: S) {
  return z.preprocess((value) => (value === '' ? null : value), z.nullable(schema));
}

/** How many tenants a request may be answered with, also one that will be refused. */
export function tenantsAsked({ pageSize }: ListTenantsRequest): number {
  return pageSize === 0 ? defaultPageSize : Math.min(Math.abs(pageSize), maxPageSize);
}

export interface TenantPage extends TenantQuery {
  /** Rows of the page; the query asks for one more, to see whether another page follows. */
  readonly size: number;
}

/** @throws {ValidationError} */
export function tenantPage(request: ListTenantsRequest): TenantPage {
  const { page_size, status, tier, search, deleted } = parse(listRequest, {
    ...request,
    page_size: request.pageSize,
  });
  const size = page_size === 0 ? defaultPageSize : page_size;
  return {
    size,
    limit: size + 1,
    after: request.pageToken === '' ? null : parseCursor(request.pageToken, listOrder.field, 'page_token'),
    before: null,
    inverted: false,
    order: listOrder,
    filter: { status: status.length > 0 ? [...new Set(status)] : null, tier, search, deleted },
  };
}
