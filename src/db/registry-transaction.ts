import { randomUUID } from 'node:crypto';
import { SubdomainTakenError } from '../core/errors.ts';
import type { RegistryTransaction, StartedOperation } from '../core/ports.ts';
import { violatedConstraint } from './errors.ts';
import type { KeyRing } from './key-ring.ts';
import { liveOrDeleted } from './middleware/soft-delete.ts';
import type { RegistryTransactionClient } from './prisma-client.ts';
import { readEvent, readOperation, readTenant, type SqlRow, selectList } from './rows.ts';
import { jobKey, operationTask, startOperationSql, startParameters } from './start-operation.ts';

const startSql = startOperationSql(
  `UPDATE tenants
   SET operation_id = $2::uuid, last_sequence = last_sequence + 1,
       status = CASE WHEN $3::operation_kind = 'PROVISION' THEN 'PROVISIONING' ELSE status END
   WHERE id = $1::uuid RETURNING *`,
  2,
);

/** Ends or reopens an operation (\`operationSql\` returns it) and tells it by an event: one statement. */
function tellSql(tenantAssignments: string, operationSql: string, message: string, extra = ''): string {
  return `
WITH t AS (
  UPDATE tenants SET last_sequence = last_sequence + 1 ${tenantAssignments}
  WHERE id = (SELECT tenant_id FROM operations WHERE id = $1::uuid) RETURNING *
),
o AS (${operationSql}),
s AS (
  UPDATE operation_steps SET status = 'PENDING', started_at = NULL, finished_at = NULL, error = NULL
  WHERE operation_id = $1::uuid AND status <> 'SUCCESS'
),
steps AS (
  SELECT count(*) FILTER (WHERE status = 'SUCCESS') AS completed, count(*) AS total,
         coalesce(min(position) FILTER (WHERE status <> 'SUCCESS'), max(position)) AS present
  FROM operation_steps WHERE operation_id = $1::uuid
),
e AS (
  INSERT INTO provisioning_events
    (tenant_id, sequence, operation_id, kind, operation_state, step, status, completed_steps, total_steps, message, tenant_status, created_at)
  SELECT t.id, t.last_sequence, o.id, o.kind, o.state, step.name, 'PENDING', steps.completed, steps.total, '${message}', t.status, clock_timestamp()
  FROM t, o, steps JOIN operation_steps AS step ON step.operation_id = $1::uuid AND step.position = steps.present
  RETURNING *
)${extra}
SELECT ${selectList('tenant', 't')}, ${selectList('operation', 'o')}, ${selectList('event', 'e')}
FROM t, o, e`;
}

const cancelSql = tellSql(
  '',
  // The fence grows, so that the next write of whoever runs it finds nothing.
  `UPDATE operations SET state = 'CANCELLED', finished_at = clock_timestamp(), fence = fence + 1, lease_until = NULL, next_attempt_at = NULL
   FROM t WHERE operations.id = $1::uuid RETURNING operations.*`,
  'cancelled',
);

const reopenSql = `${tellSql(
  `, status = CASE (SELECT kind FROM operations WHERE id = $1::uuid) WHEN 'PROVISION' THEN 'PROVISIONING' ELSE status END`,
  `UPDATE operations SET state = 'PENDING', finished_at = NULL, error = NULL, attempt = 0, lease_until = NULL
   FROM t WHERE operations.id = $1::uuid RETURNING operations.*`,
  'retried',
  `,
j AS (
  SELECT (graphile_worker.add_job('${operationTask}', json_build_object('operationId', o.id), job_key => $2::text)).id FROM o
)`,
)}, j`;

/** What a change of the registry may do, inside one of Prisma's interactive transactions. */
export function createRegistryTransaction(
  client: RegistryTransactionClient,
  keyRing: KeyRing,
): RegistryTransaction {
  const one = async (sql: string, ...parameters: readonly unknown[]): Promise<StartedOperation> => {
    const [row] = await client.$queryRawUnsafe<SqlRow[]>(sql, ...parameters);
    if (row === undefined) throw new Error('a statement on an operation answered nothing');
    return { tenant: readTenant(row, keyRing), operation: readOperation(row), event: readEvent(row) };
  };
  const anyTenant = (id: string) => client.tenant.findFirst({ where: { id, AND: [liveOrDeleted] } });

  return {
    async lock(id) {
      await client.$queryRaw`SELECT FROM tenants WHERE id = ${id}::uuid FOR UPDATE`;
      return anyTenant(id);
    },
    update(id, changes) {
      // The trigger cannot see every change of an address: its blind index knows no case.
      const counted = changes.contactEmail === undefined ? {} : { version: { increment: 1 } };
      return claimingSubdomain(changes.subdomain ?? '', () =>
        client.tenant.update({ where: { id }, data: { ...changes, ...counted } }),
      );
    },
    delete: (id) => client.tenant.delete({ where: { id } }),
    async restore(id) {
      const deleted = await anyTenant(id);
      return claimingSubdomain(deleted?.subdomain ?? '', () =>
        client.tenant.update({ where: { id, deletedAt: { not: null } }, data: { deletedAt: null } }),
      );
    },
    async isSubdomainTaken(subdomain, exceptId) {
      return (await client.tenant.count({ where: { subdomain, id: { not: exceptId } } })) > 0;
    },
    unfinishedOperation: (tenantId) =>
      client.operation.findFirst({ where: { tenantId, state: { in: ['PENDING', 'RUNNING'] } } }),
    async lockOperation(id) {
      await client.$queryRaw`SELECT FROM operations WHERE id = ${id}::uuid FOR UPDATE`;
      return client.operation.findFirst({ where: { id } });
    },
    start: (tenantId, kind) => one(startSql, tenantId, ...startParameters(randomUUID(), kind)),
    async cancel({ id }) {
      return (await one(cancelSql, id)).event;
    },
    reopen: ({ id }) => one(reopenSql, id, jobKey(id)),
  };
}

/** Runs a write of a tenant; a subdomain that is taken becomes the domain's error. */
async function claimingSubdomain<T>(subdomain: string, write: () => Promise<T>): Promise<T> {
  try {
    return await write();
  } catch (error) {
    if (violatedConstraint(error) === 'tenants_live_subdomain_key') throw new SubdomainTakenError(subdomain);
    throw error;
  }
}
