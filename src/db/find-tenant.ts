import type pg from 'pg';
import type { Tenant } from '../core/model.ts';
import type { Registry } from '../core/ports.ts';
import { createBatchedReads } from './batched-reads.ts';
import { reachingDatabase } from './errors.ts';
import { readTenant, type SqlRow, selectList } from './rows.ts';

const columns = selectList('tenant', 't');
const byId = {
  name: 'find_tenants',
  text: `SELECT ${columns} FROM tenants AS t WHERE id = ANY ($1::uuid[])`,
};
const bySubdomain = {
  name: 'find_tenants_by_subdomain',
  text: `SELECT ${columns} FROM tenants AS t WHERE subdomain = ANY ($1::text[]) AND deleted_at IS NULL`,
};

/** Of the pool's connections: when nothing is remembered, those who read must not keep them all from those who change. */
const atOnce = 3;
/** Of one statement. */
const size = 100;

/** Reads single tenants, as many as are asked for at once by one prepared statement. */
export function createTenantLookup(pool: Pick<pg.Pool, 'query'>): Pick<Registry, 'find' | 'findBySubdomain'> {
  const reads = (statement: typeof byId, keyOf: (tenant: Tenant) => string) =>
    createBatchedReads({
      atOnce,
      size,
      read: (keys) =>
        reachingDatabase(async () => {
          const { rows } = await pool.query<SqlRow>({ ...statement, values: [keys] });
          const tenants = rows.map(readTenant);
          return new Map(tenants.map((tenant) => [keyOf(tenant), tenant]));
        }),
    });
  return {
    find: reads(byId, ({ id }) => id),
    findBySubdomain: reads(bySubdomain, ({ subdomain }) => subdomain),
  };
}
