import type pg from 'pg';
import { type AccessFacts, requireAccess } from '../core/tenant-access.ts';
import { reachingDatabase } from './errors.ts';
import type { KeyRing } from './key-ring.ts';
import { openPassword } from './tenant-credentials.ts';

interface AccountRow extends AccessFacts {
  readonly tier: string;
  readonly password: string | null;
}

const accountSql = {
  name: 'tenant_account',
  text: `
    SELECT t.status, t.deleted_at AS "deletedAt", t.tier, c.password,
      (SELECT json_build_object('kind', kind, 'state', state) FROM operations WHERE id = t.operation_id) AS operation
    FROM tenants AS t
      LEFT JOIN tenant_credentials AS c ON c.tenant_id = t.id
    WHERE t.id = $1`,
};

/**
 * The function that answers what it takes to log in as a tenant's `…_app` role, from the registry.
 * @throws (the function) {NotFoundError} {InvalidStateError} when nobody may, {UnavailableError}
 */
export function createTenantAccounts({ pool, keyRing }: { pool: pg.Pool; keyRing: KeyRing }) {
  return async (tenantId: string): Promise<{ readonly tier: string; readonly password: string }> => {
    const { rows } = await reachingDatabase(() =>
      pool.query<AccountRow>({ ...accountSql, values: [tenantId] }),
    );
    const row = rows[0] ?? null;
    requireAccess(row);
    if (row.password === null) throw new Error('the tenant has no stored password');
    return { tier: row.tier, password: openPassword(keyRing, tenantId, row.password) };
  };
}
