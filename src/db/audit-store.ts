import type pg from 'pg';
import type { AuditEntry } from '../core/audit-entry.ts';
import type { AuditQuery, AuditStore } from '../core/audit-store.ts';
import { actorParameters } from './audit-entries.ts';
import { reachingDatabase } from './errors.ts';

// Who is refused about an operation or a lease names no tenant: that is looked up, so that a tenant's entries have it.
const refusalSql = `
INSERT INTO audit_entries (subject, role, transport, address, action, tenant_id, operation_id, lease_id, result)
SELECT $1, $2, $3::audit_transport, $4::inet, $5::audit_action,
  coalesce($6::uuid, (SELECT tenant_id FROM operations WHERE id = $7::uuid), (SELECT tenant_id FROM leases WHERE id = $8::uuid)),
  $7::uuid, $8::uuid, $9`;

// The address without its mask, which says nothing of one machine.
const selectSql = `
SELECT id, subject, role, transport, host(address) AS address, action, tenant_id AS "tenantId",
  operation_id AS "operationId", lease_id AS "leaseId", fields, result, created_at AS "createdAt"
FROM audit_entries`;

/** The audit log on PostgreSQL. */
export function createAuditStore(pool: pg.Pool): AuditStore {
  const entries = (sql: string, values: readonly unknown[]) =>
    reachingDatabase(async () => (await pool.query<AuditEntry>(sql, [...values])).rows);
  return {
    refuse: ({ actor, action, tenantId, operationId, leaseId, result }) =>
      reachingDatabase(async () => {
        const values = [...actorParameters(actor), action, tenantId, operationId, leaseId, result];
        await pool.query({ name: 'audit_refusal', text: refusalSql, values });
      }),
    list(query) {
      const { sql, values } = pageSql(query);
      return entries(`${selectSql} ${sql}`, values);
    },
    find: (ids) => entries(`${selectSql} WHERE id = ANY ($1::bigint[])`, [ids]),
  };
}

/** A keyset page, behind the select list. Each condition is there only when it is asked for, so that an index fits. */
function pageSql({ filter, after, before, limit, inverted }: AuditQuery) {
  const { tenantId, subject, action, result, from, to } = filter;
  const values: unknown[] = [];
  const place = (value: unknown) => `$${values.push(value)}`;
  const conditions: string[] = [];
  if (tenantId != null) conditions.push(`tenant_id = ${place(tenantId)}::uuid`);
  if (subject != null) conditions.push(`subject = ${place(subject)}`);
  if (action != null) conditions.push(`action = ${place(action)}::audit_action`);
  if (result != null) conditions.push(`result = ${place(result)}`);
  if (from != null) conditions.push(`created_at >= ${place(from)}`);
  if (to != null) conditions.push(`created_at < ${place(to)}`);
  // The newest come first, so what is behind a place is older.
  if (after !== null)
    conditions.push(`(created_at, id) < (${place(after.value)}, ${place(after.id)}::bigint)`);
  if (before !== null) {
    conditions.push(`(created_at, id) > (${place(before.value)}, ${place(before.id)}::bigint)`);
  }
  const where = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
  const direction = inverted ? 'ASC' : 'DESC';
  const sql = `${where} ORDER BY created_at ${direction}, id ${direction} LIMIT ${place(limit)}`;
  return { sql, values };
}
