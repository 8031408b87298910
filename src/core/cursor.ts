import { z } from 'zod';
import type { AuditEntry } from './audit-entry.ts';
import { ValidationError } from './errors.ts';
import type { Tenant } from './model.ts';
import { auditEntryId } from './validation.ts';

export const tenantOrderFields = ['CREATED_AT', 'NAME', 'SUBDOMAIN'] as const;
export type TenantOrderField = (typeof tenantOrderFields)[number];

export interface TenantOrder {
  readonly field: TenantOrderField;
  readonly direction: 'ASC' | 'DESC';
}

/** A place in an ordered list: the ordering value of a row and, to break ties, its id. */
export interface Position {
  readonly value: string | Date;
  readonly id: string;
}

const positions = z.tuple([
  z.enum([...tenantOrderFields, 'OPERATION', 'AUDIT']),
  z
    .string()
    .max(200)
    .regex(/^[^\p{Cc}\p{Cs}]+$/u),
  z.union([z.guid().transform((id) => id.toLowerCase()), auditEntryId]),
]);

/** The list that a cursor belongs to, and its order. */
type CursorField = TenantOrderField | 'OPERATION' | 'AUDIT';

/** The value by which `field` orders a tenant. */
function orderingValue(tenant: Tenant, field: TenantOrderField): string | Date {
  switch (field) {
    case 'CREATED_AT':
      return tenant.createdAt;
    case 'NAME':
      return tenant.name;
    case 'SUBDOMAIN':
      return tenant.subdomain;
  }
}

function encode(field: CursorField, { value, id }: Position): string {
  const text = value instanceof Date ? value.toISOString() : value;
  return Buffer.from(JSON.stringify([field, text, id])).toString('base64url');
}

/** The keyset cursor of a tenant in a list ordered by `field`; also the gRPC page token. */
export function tenantCursor(tenant: Tenant, field: TenantOrderField): string {
  return encode(field, { value: orderingValue(tenant, field), id: tenant.id });
}

/** The keyset cursor of an operation among its tenant's. */
export function operationCursor(operation: { readonly createdAt: Date; readonly id: string }): string {
  return encode('OPERATION', { value: operation.createdAt, id: operation.id });
}

/** The keyset cursor of an entry of the audit log. */
export function auditCursor(entry: Pick<AuditEntry, 'createdAt' | 'id'>): string {
  return encode('AUDIT', { value: entry.createdAt, id: entry.id });
}

/**
 * The place that a cursor names.
 * @throws {ValidationError} when it is none of ours, or comes from a list in another order
 */
export function parseCursor(cursor: string, field: CursorField, path: string): Position {
  const refused = new ValidationError([{ path, message: 'is not a cursor of this list' }]);
  let decoded: unknown;
  try {
    decoded = JSON.parse(Buffer.from(cursor, 'base64url').toString());
  } catch {
    throw refused;
  }
  const parsed = positions.safeParse(decoded);
  if (!parsed.success || parsed.data[0] !== field) throw refused;
  const [, text, id] = parsed.data;
  if ((field === 'AUDIT') !== auditEntryId.safeParse(id).success) throw refused;
  if (field === 'NAME' || field === 'SUBDOMAIN') return { value: text, id };
  // The calendar of PostgreSQL has no year 0.
  if (text.startsWith('0000') || !z.iso.datetime({ precision: 3 }).safeParse(text).success) throw refused;
  return { value: new Date(text), id };
}
