import type pg from 'pg';
import type { Lease } from '../core/model.ts';
import type { LeasedTenant, LeaseRoles, LeaseSlot, LeaseStore, SqlSession } from '../core/ports.ts';
import { reachingDatabase } from './errors.ts';
import { inTransaction } from './pg-transaction.ts';
import { sqlSession } from './sql-session.ts';

// Behind the lock, in a statement of its own: it sees what others committed while this one waited.
const tenantSql = `
SELECT status, deleted_at AS "deletedAt", tier,
  (SELECT json_build_object('kind', kind, 'state', state) FROM operations WHERE id = operation_id) AS operation,
  ARRAY(SELECT slot FROM leases WHERE tenant_id = tenants.id ORDER BY slot) AS slots,
  clock_timestamp() + $2 * interval '1 millisecond' AS "expiresAt"
FROM tenants WHERE id = $1`;

const insertSql = `INSERT INTO leases (id, tenant_id, slot, subject, taken_at, expires_at) VALUES ($1, $2, $3, $4, clock_timestamp(), $5)`;

/** How many leases are ended in one go. */
const batch = 200;

export interface LeaseStoreOptions {
  readonly pool: pg.Pool;
  readonly roles: LeaseRoles;
}

/**
 * The leases on PostgreSQL. Who takes one holds the tenant's lock and touches only slots that no row names; who ends one
 * holds the lock of its row. So no two ever work on the same role, and who ends a lease cannot meet its successor.
 */
export function createLeaseStore({ pool, roles }: LeaseStoreOptions): LeaseStore {
  /** Runs `work` while the lease is there, for nobody else to end it. @returns false when it is not */
  function whileHeld(id: string, work: (sql: SqlSession, slot: LeaseSlot) => Promise<unknown>) {
    return inTransaction(pool, async (client) => {
      const { rows } = await client.query<LeaseSlot>(
        'SELECT tenant_id AS "tenantId", slot FROM leases WHERE id = $1 FOR UPDATE',
        [id],
      );
      const [slot] = rows;
      if (slot !== undefined) await work(sqlSession(client), slot);
      await client.query('COMMIT');
      return slot !== undefined;
    });
  }

  return {
    take: ({ id, tenantId, subject, password, durationMs }, slotFor) =>
      reachingDatabase(() =>
        inTransaction(pool, async (client) => {
          const [, { rows }] = await Promise.all([
            client.query('SELECT FROM tenants WHERE id = $1 FOR UPDATE', [tenantId]),
            client.query<LeasedTenant & { expiresAt: Date }>(tenantSql, [tenantId, durationMs]),
          ]);
          const [tenant] = rows;
          const slot = slotFor(tenant ?? null);
          if (tenant === undefined) throw new Error('a tenant that never was got a slot');
          const { expiresAt } = tenant;
          const login = await roles.open(sqlSession(client), { tenantId, slot, password, expiresAt });
          await Promise.all([
            client.query(insertSql, [id, tenantId, slot, subject, expiresAt]),
            client.query('COMMIT'),
          ]);
          return { ...login, expiresAt };
        }),
      ),
    find: (id) =>
      reachingDatabase(async () => {
        const { rows } = await pool.query<Lease>(
          'SELECT id, tenant_id AS "tenantId", subject FROM leases WHERE id = $1',
          [id],
        );
        return rows[0] ?? null;
      }),
    end: (id) =>
      reachingDatabase(async () => {
        // Committed before the sessions are ended, or a new one could come in between.
        if (!(await whileHeld(id, roles.close))) return false;
        return whileHeld(id, async (sql, slot) => {
          await roles.endSessions(sql, slot);
          await sql.query('DELETE FROM leases WHERE id = $1', [id]);
        });
      }),
    expired: () =>
      reachingDatabase(async () => {
        const { rows } = await pool.query<{ id: string }>(
          'SELECT id FROM leases WHERE expires_at <= clock_timestamp() ORDER BY expires_at LIMIT $1',
          [batch],
        );
        return rows.map(({ id }) => id);
      }),
    count: (tenantId) =>
      reachingDatabase(async () => {
        const { rows } = await pool.query<{ count: number }>(
          'SELECT count(*)::int FROM leases WHERE tenant_id = $1',
          [tenantId],
        );
        return rows[0]?.count ?? 0;
      }),
  };
}

/** How many leases there are in the whole registry. */
export async function countLeases(pool: pg.Pool): Promise<number> {
  const { rows } = await pool.query<{ count: number }>('SELECT count(*)::int FROM leases');
  return rows[0]?.count ?? 0;
}
