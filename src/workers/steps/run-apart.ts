import type { SqlSession } from '../../core/ports.ts';
import { areRecorded } from '../migration-ledger.ts';
import type { MigrationScript } from '../migration-script.ts';
import { naming } from '../naming.ts';
import { becoming, roleAdminOf } from '../role-admin.ts';
import type { StepTarget } from '../step.ts';

/** The first of the two numbers of a session's lock on one tenant; the second one is made of the tenant's id. */
const lockClass = 7_242;

/**
 * Runs a file that cannot be in a transaction, as the tenant's owner, in a session that is not used again. It may run a
 * second time, when its runner died before it could be recorded.
 */
export async function runApart(
  session: SqlSession,
  { registryId, tenantId, names, migrations }: StepTarget,
  { files: [file], sql }: MigrationScript,
): Promise<void> {
  if (file === undefined) return;
  await areRecorded(session, migrations, [file]);
  await endPredecessor(session, tenantId);
  await session.query(`
    BEGIN; ${becoming(names.owner, await roleAdminOf(session, registryId, names.owner))} COMMIT;
    SET search_path TO ${names.schema};
    SET lock_timeout TO '60s'`);
  await dropInvalidIndexes(session, names.schema);
  await naming(file, () => session.query(sql));
}

/** The session of a runner that died works on, until its statement is done: it ends here, and what it holds is free. */
async function endPredecessor(session: SqlSession, tenantId: string): Promise<void> {
  for (;;) {
    const [lock] = await session.query('SELECT pg_try_advisory_lock($1, hashtext($2)) AS held', [
      lockClass,
      tenantId,
    ]);
    if (lock?.held === true) return;
    await session.query(
      `SELECT pg_terminate_backend(pid, 5000) FROM pg_locks
       WHERE locktype = 'advisory' AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND classid::bigint = $1 AND objid::bigint = hashtext($2)::bigint & x'ffffffff'::bigint AND objsubid = 2`,
      [lockClass, tenantId],
    );
  }
}

/** What is left of an index whose building was interrupted; IF NOT EXISTS would take it for the index. */
async function dropInvalidIndexes(session: SqlSession, schema: string): Promise<void> {
  const found = await session.query(
    `SELECT indexrelid::regclass::text AS name FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
     WHERE NOT indisvalid AND relkind = 'i' AND relnamespace = $1::regnamespace`,
    [schema],
  );
  for (const { name } of found) await session.query(`DROP INDEX CONCURRENTLY ${name}`);
}
