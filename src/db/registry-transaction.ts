import { randomUUID } from 'node:crypto';
import { SubdomainTakenError } from '../core/errors.ts';
import type { RegistryTransaction, StartedOperation } from '../core/ports.ts';
import { auditChangeSql, changeParameters } from './audit-entries.ts';
import { violatedConstraint } from './errors.ts';
import { liveOrDeleted } from './middleware/soft-delete.ts';
import { operationNewsSql } from './operation-news.ts';
import type { RegistryTransactionClient } from './prisma-client.ts';
import { readEvent, readOperation, readTenant, type SqlRow } from './rows.ts';
import { jobKey, startOperationSql, startParameters } from './start-operation.ts';

const startSql = startOperationSql(
  `UPDATE tenants
   SET operation_id = $2::uuid,
       status = CASE WHEN $3::operation_kind = 'PROVISION' THEN 'PROVISIONING' ELSE status END
   WHERE id = $1::uuid RETURNING *`,
  // Nobody draws from it beside us: the tenant is locked, and its former operation at an end.
  '1 + coalesce((SELECT max(sequence) FROM provisioning_events WHERE tenant_id = t.id), 0)',
  2,
);

const abandonSql = operationNewsSql({
  // The fence grows, so that the next write of whoever runs it finds nothing.
  operation: `state = 'CANCELLED', finished_at = clock_timestamp(), fence = fence + 1, lease_until = NULL, next_attempt_at = NULL`,
  resetSteps: `status <> 'SUCCESS'`,
  message: 'cancelled',
});

/** With all its tries and all its time. */
const anew = `state = 'PENDING', attempt = 0, error = NULL, lease_until = NULL, next_attempt_at = NULL, started_at = NULL, finished_at = NULL`;

const cancelSql = operationNewsSql({
  operation: `${anew}, cancelling = true, fence = fence + 1`,
  // Every step that ever began is undone.
  resetSteps: 'false',
  message: 'cancelling',
  withJob: true,
});

const reopenSql = operationNewsSql({
  tenant: `status = CASE WHEN previous.kind = 'PROVISION' AND NOT previous.cancelling THEN 'PROVISIONING' ELSE status END`,
  operation: anew,
  resetSteps: `status <> 'SUCCESS' AND NOT o.cancelling`,
  message: 'retried',
  withJob: true,
});

const omit = { contactEmail: true, contactEmailIndex: true } as const;

/** What a change of the registry may do, inside one of Prisma's interactive transactions. */
export function createRegistryTransaction(client: RegistryTransactionClient): RegistryTransaction {
  const one = async (sql: string, ...parameters: readonly unknown[]): Promise<StartedOperation> => {
    const [row] = await client.$queryRawUnsafe<SqlRow[]>(sql, ...parameters);
    if (row === undefined) throw new Error('a statement on an operation answered nothing');
    return { tenant: readTenant(row), operation: readOperation(row), event: readEvent(row) };
  };
  const anyTenant = (id: string) => client.tenant.findFirst({ where: { id, AND: [liveOrDeleted] }, omit });

  return {
    async lock(id) {
      await client.$queryRaw`SELECT FROM tenants WHERE id = ${id}::uuid FOR UPDATE`;
      return anyTenant(id);
    },
    async contactEmail(id) {
      const where = { id, AND: [liveOrDeleted] };
      return (await client.tenant.findFirstOrThrow({ where, select: { contactEmail: true } })).contactEmail;
    },
    update(id, changes) {
      // The trigger cannot see every change of an address: its blind index knows no case.
      const counted = changes.contactEmail === undefined ? {} : { version: { increment: 1 } };
      return claimingSubdomain(changes.subdomain ?? '', () =>
        client.tenant.update({ where: { id }, data: { ...changes, ...counted }, omit }),
      );
    },
    delete: (id) => client.tenant.delete({ where: { id }, omit }),
    async restore(id) {
      const deleted = await anyTenant(id);
      return claimingSubdomain(deleted?.subdomain ?? '', () =>
        client.tenant.update({ where: { id, deletedAt: { not: null } }, data: { deletedAt: null }, omit }),
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
    async abandon({ id }) {
      return (await one(abandonSql, id)).event;
    },
    cancel: ({ id }) => one(cancelSql, id, jobKey(id)),
    reopen: ({ id }) => one(reopenSql, id, jobKey(id)),
    async audit(actor, change) {
      await client.$executeRawUnsafe(auditChangeSql, ...changeParameters(actor, change));
    },
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
