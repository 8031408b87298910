import type { CoreApp } from '../core/core-app.ts';

export interface AuditTrail {
  /** What was written since the last time, the oldest first: all but the id and the time. */
  news(): Promise<Record<string, unknown>[]>;
}

/** Reads what an app writes into its audit log, from now on. */
export async function auditTrail({ sql }: Pick<CoreApp, 'sql'>): Promise<AuditTrail> {
  let last: unknown = 0;
  const news = async () => {
    const rows = await sql(
      `SELECT id, subject, role, transport, host(address) AS address, action, tenant_id, operation_id, lease_id, fields, result
       FROM audit_entries WHERE id > $1 ORDER BY id`,
      [last],
    );
    last = rows.at(-1)?.id ?? last;
    return rows.map(({ id, ...entry }) => entry);
  };
  await news();
  return { news };
}

/** An entry that says no more than this of a change. */
export function entry(changed: Record<string, unknown>): Record<string, unknown> {
  return {
    address: '127.0.0.1',
    tenant_id: null,
    operation_id: null,
    lease_id: null,
    fields: [],
    result: 'OK',
    ...changed,
  };
}
