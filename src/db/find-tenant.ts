import type pg from 'pg';
import type { Registry } from '../core/ports.ts';
import { reachingDatabase } from './errors.ts';
import { createGate } from './gate.ts';
import { readTenant, type SqlRow, selectList } from './rows.ts';

const byId = {
  name: 'find_tenant',
  text: `SELECT ${selectList('tenant', 't')} FROM tenants AS t WHERE id = $1::uuid`,
};
const bySubdomain = {
  name: 'find_tenant_by_subdomain',
  text: `SELECT ${selectList('tenant', 't')} FROM tenants AS t WHERE subdomain = $1 AND deleted_at IS NULL`,
};

/** Of the pool's connections: when nothing is remembered, those who read must not keep them all from those who change. */
const atOnce = 6;

/** Reads single tenants, each by one prepared statement; Prisma's cost per call is several times that. */
export function createTenantLookup(pool: pg.Pool): Pick<Registry, 'find' | 'findBySubdomain'> {
  const inTurn = createGate(atOnce);
  const one = async (statement: typeof byId, value: string) => {
    const { rows } = await inTurn(() =>
      reachingDatabase(() => pool.query<SqlRow>({ ...statement, values: [value] })),
    );
    const [row] = rows;
    return row === undefined ? null : readTenant(row);
  };
  return {
    find: (id) => one(byId, id),
    findBySubdomain: (subdomain) => one(bySubdomain, subdomain),
  };
}
