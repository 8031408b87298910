import type pg from 'pg';
import type { Actor, Lease } from '../core/model.ts';
import type { LeasedTenant, LeaseRoles, LeaseSlot, LeaseStore, SqlSession } from '../core/ports.ts';
import { actorParameters, auditLeaseSql } from './audit-entries.ts';
import { reachingDatabase } from './errors.ts';
import { inTransaction } from './pg-transaction.ts';
import { sqlSession } from './sql-session.ts';

const lockTenantSql = 'SELECT FROM tenants WHERE id = $1 FOR UPDATE';

// Behind the lock, in a statement of its own: it sees what others committed while this one waited.
const tenantSql = `
SELECT status, deleted_at AS "deletedAt", tier,
  (SELECT json_build_object('kind', kind, 'state', state) FROM operations WHERE id = operation_id) AS operation,
  (SELECT count(*)::int FROM leases WHERE tenant_id = tenants.id AND ended_at IS NULL) AS leases,
  ARRAY(
    SELECT slot FROM leases
    WHERE tenant_id = tenants.id AND coalesce(ended_at + rest_ms * interval '1 millisecond', 'infinity') > clock_timestamp()
    ORDER BY slot
  ) AS slots,
  clock_timestamp() + $2 * interval '1 millisecond' AS "expiresAt"
FROM tenants WHERE id = $1`;

// In the place of the lease that the slot had before, if that is still there.
const insertSql = `
INSERT INTO leases (id, tenant_id, slot, subject, taken_at, expires_at, rest_ms)
VALUES ($1, $2, $3, $4, clock_timestamp(), $5, $6)
ON CONFLICT (tenant_id, slot) DO UPDATE
SET id = excluded.id, subject = excluded.subject, taken_at = excluded.taken_at, expires_at = excluded.expires_at,
    rest_ms = excluded.rest_ms, ended_at = NULL
WHERE leases.ended_at IS NOT NULL`;

const lockLeaseSql = `
SELECT id, tenant_id AS "tenantId", slot, subject FROM leases WHERE id = $1 AND ended_at IS NULL FOR UPDATE`;

const expiredSql = `
SELECT id FROM leases WHERE expires_at <= statement_timestamp() AND ended_at IS NULL ORDER BY expires_at LIMIT $1`;

/** How many leases are ended in one go. */
const batch = 200;

export interface LeaseStoreOptions {
  readonly pool: pg.Pool;
  readonly roles: LeaseRoles;
  /** How long the slot of a lease that is taken here is nobody's when that is over, milliseconds. */
  readonly restMs: number;
}

/**
 * The leases on PostgreSQL. Who takes one holds the tenant's lock and touches only slots that nobody has; who ends one
 * holds the lock of its row. So no two ever work on the same role, and who ends a lease cannot meet its successor.
 */
export function createLeaseStore({ pool, roles, restMs }: LeaseStoreOptions): LeaseStore {
  const transaction = <T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> =>
    roles.againIfDenied(() => inTransaction(pool, work));

  /**
   * Runs `work` while the lease is there, for nobody else to end it, and then with COMMIT the statements that it answers.
   * @returns false when it is not there
   */
  function whileHeld(
    id: string,
    work: (sql: SqlSession, lease: HeldLease) => Promise<readonly pg.QueryConfig[]>,
    before = '',
  ): Promise<boolean> {
    return transaction(async (client) => {
      const sql = sqlSession(client);
      const [, { rows }] = await Promise.all([
        before && client.query(before),
        client.query<HeldLease>({ name: 'lock_lease', text: lockLeaseSql, values: [id] }),
      ]);
      const [lease] = rows;
      await commit(client, lease ? await work(sql, lease) : []);
      return lease !== undefined;
    });
  }

  return {
    take: ({ id, tenantId, actor, password, durationMs }, slotFor) =>
      reachingDatabase(() =>
        transaction(async (client) => {
          const values = [tenantId, durationMs];
          const [, { rows }] = await Promise.all([
            client.query({ name: 'lock_tenant', text: lockTenantSql, values: [tenantId] }),
            client.query<AskedTenant>({ name: 'lease_tenant', text: tenantSql, values }),
          ]);
          const [tenant] = rows;
          const slot = slotFor(tenant ?? null);
          if (tenant === undefined) throw new Error('a tenant that never was got a slot');
          const { expiresAt } = tenant;
          const { opening, ...login } = await roles.open(sqlSession(client), {
            tenantId,
            slot,
            password,
            expiresAt,
          });
          const row = [id, tenantId, slot, actor.subject, expiresAt, restMs];
          const insert = { name: 'lease', text: insertSql, values: row };
          await commit(client, [{ text: opening }, insert, audited('TAKE_LEASE', actor, tenantId, id)]);
          return { ...login, expiresAt };
        }),
      ),
    end: (id, by) =>
      reachingDatabase(async () => {
        // Committed before the sessions are ended, or a new one could come in between.
        const closed = await whileHeld(id, async (sql, lease) => {
          by?.mayEnd(lease);
          const closing = await roles.close(sql, lease);
          if (closing === null) return [];
          // From here on the lease is worth nothing: that is the change, whatever becomes of the rest.
          const entry = by ? [audited('RELEASE_LEASE', by.actor, lease.tenantId, id)] : [];
          return [{ text: closing }, ...entry];
        });
        if (!closed) return false;
        // Need not have reached the disk: a lease that comes back when the server dies has nobody who is logged in, and
        // nobody logs in.
        const unhurried = 'SET LOCAL synchronous_commit TO off';
        return whileHeld(
          id,
          async (sql, lease) => {
            await roles.endSessions(sql, lease);
            const text = 'UPDATE leases SET ended_at = clock_timestamp() WHERE id = $1';
            return [{ name: 'end_lease', text, values: [id] }];
          },
          unhurried,
        );
      }),
    expired: () =>
      reachingDatabase(async () => {
        const { rows } = await pool.query<{ id: string }>(expiredSql, [batch]);
        return rows.map(({ id }) => id);
      }),
    forget: () =>
      reachingDatabase(async () => {
        await pool.query(
          `DELETE FROM leases WHERE ended_at + rest_ms * interval '1 millisecond' <= statement_timestamp()`,
        );
      }),
    endStrays: () => reachingDatabase(() => roles.endStrays(sqlSession(pool))),
    count: (tenantId) =>
      reachingDatabase(async () => {
        const { rows } = await pool.query<{ count: number }>(
          'SELECT count(*)::int FROM leases WHERE tenant_id = $1 AND ended_at IS NULL',
          [tenantId],
        );
        return rows[0]?.count ?? 0;
      }),
  };
}

type HeldLease = Lease & LeaseSlot;
type AskedTenant = LeasedTenant & { readonly expiresAt: Date };

/** What the audit log is to say. */
function audited(
  action: 'TAKE_LEASE' | 'RELEASE_LEASE',
  actor: Actor,
  tenantId: string,
  leaseId: string,
): pg.QueryConfig {
  const values = [...actorParameters(actor), action, tenantId, leaseId];
  return { name: 'audit_lease', text: auditLeaseSql, values };
}

/** All in one round trip; when one of them is refused, COMMIT rolls back. */
async function commit(client: pg.PoolClient, statements: readonly pg.QueryConfig[]): Promise<void> {
  await Promise.all([...statements.map((statement) => client.query(statement)), client.query('COMMIT')]);
}

/** How many leases there are in the whole registry. */
export async function countLeases(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ count: number }>(
    'SELECT count(*)::int FROM leases WHERE ended_at IS NULL',
  );
  return rows[0]?.count ?? 0;
}
