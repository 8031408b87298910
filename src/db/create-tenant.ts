import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { SubdomainTakenError } from '../core/errors.ts';
import { IdempotencyKeyUsedError, type NewTenant, type StartedOperation } from '../core/ports.ts';
import { actorParameters } from './audit-entries.ts';
import { violatedConstraint } from './errors.ts';
import type { KeyRing } from './key-ring.ts';
import { readEvent, readOperation, readTenant, type SqlRow } from './rows.ts';
import { startOperationSql, startParameters } from './start-operation.ts';

const tenantSql = `
  INSERT INTO tenants (id, name, subdomain, contact_email, contact_email_index, tier, operation_id)
  VALUES ($1::uuid, $2, $3, $4, $5, $6, $7::uuid)
  RETURNING *`;
// Behind the operation's four parameters: who creates it, then the idempotency key, which is that subject's.
const audited = `,
a AS (
  INSERT INTO audit_entries (subject, role, transport, address, action, tenant_id, operation_id)
  SELECT $11::text, $12::text, $13::audit_transport, $14::inet, 'CREATE_TENANT', t.id, o.id FROM t, o
)`;
const sql = startOperationSql(tenantSql, '1', 7, audited);
const withKeySql = startOperationSql(
  tenantSql,
  '1',
  7,
  `${audited},
k AS (
  INSERT INTO idempotency_keys (subject, key, input_hash, tenant_id, expires_at)
  VALUES ($11, $15, $16, $1::uuid, now() + interval '24 hours')
)`,
);

/**
 * Stores a new tenant with all that belongs to it in one statement; what Prisma would cost per call is what this path
 * is measured against.
 * @throws {SubdomainTakenError} {IdempotencyKeyUsedError}
 */
export async function createTenant(
  pool: pg.Pool,
  keyRing: KeyRing,
  tenant: NewTenant,
): Promise<StartedOperation> {
  const { id, name, subdomain, contactEmail, tier, actor, idempotency } = tenant;
  const parameters = [
    id,
    name,
    subdomain,
    keyRing.seal(contactEmail, { tenantId: id, field: 'contactEmail' }),
    keyRing.emailIndex(contactEmail),
    tier,
    ...startParameters(randomUUID(), 'PROVISION'),
    ...actorParameters(actor),
  ];
  try {
    const { rows } = idempotency
      ? await pool.query<SqlRow>({
          name: 'create_with_key',
          text: withKeySql,
          values: [...parameters, idempotency.key, idempotency.inputHash],
        })
      : await pool.query<SqlRow>({ name: 'create', text: sql, values: parameters });
    const [row] = rows;
    if (row === undefined) throw new Error('the insert of a tenant answered nothing');
    return { tenant: readTenant(row), operation: readOperation(row), event: readEvent(row) };
  } catch (error) {
    const constraint = violatedConstraint(error);
    if (constraint === 'tenants_live_subdomain_key') throw new SubdomainTakenError(subdomain);
    if (constraint === 'idempotency_keys_pkey') throw new IdempotencyKeyUsedError();
    throw error;
  }
}
