import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { ownershipMark, tenantNames } from '../../src/workers/tenant-names.ts';
import { eventually } from '../support/eventually.ts';
import { projectRoot } from '../support/process.ts';
import type { Session } from '../workers/worker-app.ts';

/** How a tenant is to be when all is over; of one that is GONE the registry alone knows. */
export type End = 'ACTIVE' | 'INACTIVE' | 'DELETED' | 'GONE';

/**
 * Holds against the registry's database, as it is when nothing is under way any more: exactly these tenants are in it, as
 * they should be; the server has their schemas and roles and no others of this registry; every sequence is 1 … n; each
 * step of what succeeded was told as done once; and nothing is kept that was for a moment only.
 * @param administrator the superuser, on that database
 * @param deadlineMs how long what is under way may take, milliseconds
 */
export async function expectSound(
  administrator: Session,
  ends: ReadonlyMap<string, End>,
  deadlineMs: number,
  migrationsDirectory = projectMigrations,
): Promise<void> {
  await eventually(async () => {
    expect(await administrator.query(underWaySql)).toEqual([]);
    return true;
  }, deadlineMs);
  const [registry] = await administrator.query('SELECT id::text FROM registry');
  const mark = (id: string) => ownershipMark(String(registry?.id), id);
  const migrations = await readTenantFiles(migrationsDirectory);
  const ids = [...ends.keys()].sort();
  const there = ids.filter((id) => ends.get(id) !== 'GONE');
  expect({
    tenants: await administrator.query(tenantsSql),
    schemas: await administrator.query(schemasSql),
    roles: await administrator.query(rolesSql, [`%registry=${registry?.id} tenant=%`]),
    kept: await administrator.query(keptSql),
    wronglyTold: await administrator.query(wronglyToldSql),
  }).toEqual({
    tenants: ids.map((id) =>
      ends.get(id) === 'GONE'
        ? { id, end: 'DELETED', schemaVersion: 0, gapless: true }
        : { id, end: ends.get(id), schemaVersion: migrations.version, gapless: true },
    ),
    schemas: there.map((id) => ({
      name: tenantNames(id).schema,
      mark: mark(id),
      tables: expect.arrayContaining(migrations.tables),
    })),
    roles: there.flatMap((id) => [
      { name: tenantNames(id).owner, mark: mark(id), login: false },
      { name: tenantNames(id).app, mark: mark(id), login: ends.get(id) === 'ACTIVE' },
      { name: tenantNames(id).rows, mark: mark(id), login: false },
    ]),
    kept: [],
    wronglyTold: [],
  });
}

const underWaySql = `
SELECT kind::text || ' ' || state AS left, tenant_id::text AS of, attempt, error, lease_until FROM operations
WHERE state IN ('PENDING', 'RUNNING') OR lease_until IS NOT NULL
UNION ALL
SELECT 'job', key, attempts, last_error, locked_at FROM graphile_worker.jobs WHERE task_identifier = 'operation'
ORDER BY 1, 2`;

const tenantsSql = `
SELECT id::text, CASE WHEN deleted_at IS NULL THEN status::text ELSE 'DELETED' END AS end, schema_version AS "schemaVersion",
  ARRAY(SELECT sequence FROM provisioning_events WHERE tenant_id = tenants.id ORDER BY 1)
    = ARRAY(SELECT generate_series(1, (SELECT last_sequence FROM operations WHERE operations.id = operation_id))) AS gapless
FROM tenants ORDER BY 1`;

const schemasSql = `
SELECT nspname::text AS name, obj_description(oid, 'pg_namespace') AS mark,
  ARRAY(SELECT relname::text FROM pg_class WHERE relnamespace = pg_namespace.oid AND relkind = 'r' ORDER BY 1) AS tables
FROM pg_namespace WHERE nspname LIKE 'tenant\\_%' ORDER BY nspname COLLATE "C"`;

const rolesSql = `
SELECT rolname::text AS name, shobj_description(oid, 'pg_authid') AS mark, rolcanlogin AS login
FROM pg_roles WHERE shobj_description(oid, 'pg_authid') LIKE $1 ORDER BY rolname COLLATE "C"`;

// The service becomes a tenant's owner for a moment only. What is left of an index is in nobody's way, and never used.
const keptSql = `
SELECT 'membership in ' || rolname AS kept FROM pg_roles JOIN pg_namespace ON nspowner = pg_roles.oid
WHERE nspname LIKE 'tenant\\_%'
  AND pg_has_role((SELECT datdba FROM pg_database WHERE datname = current_database()), pg_roles.oid, 'SET')
UNION ALL
SELECT 'invalid index ' || indexrelid::regclass FROM pg_index WHERE NOT indisvalid`;

const wronglyToldSql = `
SELECT id::text, kind::text FROM operations
WHERE state = 'SUCCEEDED'
  AND ARRAY(SELECT step FROM provisioning_events WHERE operation_id = operations.id AND status = 'SUCCESS' ORDER BY sequence)
    <> ARRAY(SELECT name FROM operation_steps WHERE operation_id = operations.id ORDER BY position)`;

export const projectMigrations = join(projectRoot, 'prisma/tenant');

/** The tables that a directory of tenant migrations makes, in alphabetical order, and the newest version. */
export async function readTenantFiles(directory: string): Promise<{ tables: string[]; version: number }> {
  const names = await readdir(directory);
  const files = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
  const tables = files.flatMap((sql) =>
    [...sql.matchAll(/^CREATE TABLE (\w+)/gm)].map(([, table = '']) => table),
  );
  return { tables: tables.sort(), version: files.length };
}
