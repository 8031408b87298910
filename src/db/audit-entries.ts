import type { AuditedChange } from '../core/audit-entry.ts';
import type { Actor } from '../core/model.ts';

/** Who, as four parameters: subject, role, transport, address. */
export function actorParameters({ subject, role, transport, address }: Actor): readonly unknown[] {
  return [subject, role, transport, address];
}

/** SQL that writes down a change, in its transaction; give its parameters by {@link changeParameters}. */
export const auditChangeSql = `
INSERT INTO audit_entries (subject, role, transport, address, action, tenant_id, operation_id, fields)
VALUES ($1, $2, $3::audit_transport, $4::inet, $5::audit_action, $6::uuid, $7::uuid, $8::text[])`;

/** The parameters of {@link auditChangeSql}: the actor's four, then action, tenant, operation and names of fields. */
export function changeParameters(actor: Actor, change: AuditedChange): readonly unknown[] {
  const { action, tenantId, operationId, fields } = change;
  return [...actorParameters(actor), action, tenantId, operationId, fields];
}

/** SQL that writes down that a lease was taken or released, in its transaction. */
export const auditLeaseSql = `
INSERT INTO audit_entries (subject, role, transport, address, action, tenant_id, lease_id)
VALUES ($1, $2, $3::audit_transport, $4::inet, $5::audit_action, $6::uuid, $7::uuid)`;
