import { join } from 'node:path';
import { Logger, runMigrations } from 'graphile-worker';
import type pg from 'pg';
import { migrationLock } from './advisory-locks.ts';
import { withConnection } from './connection.ts';
import type { DatabaseSettings } from './database-settings.ts';
import { hasCode } from './error-code.ts';
import { createPool } from './pool.ts';
import { pastScripts, readMigrationList, withSchemaEngine } from './schema-engine.ts';

const migrationsDirectory = join(import.meta.dirname, '../../prisma/migrations');

const silent = new Logger(() => () => {});

/**
 * Runs `work` while no other process migrates this database: replicas that start together do it one after the other.
 */
export async function underMigrationLock<T>(
  settings: DatabaseSettings,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  // The end of the session frees the lock.
  return withConnection(settings, { withinMs: 10_000 }, async (client) => {
    await refuseOldServer(client);
    await client.query('SELECT pg_advisory_lock($1)', [migrationLock]);
    return work(client);
  });
}

/**
 * Brings the registry's tables and the job queue's up to date. Call it under the migration lock.
 * @param directory of Prisma migrations
 * @returns the names of the migrations that were applied now
 * @throws when a migration fails; it has changed nothing then, and the next call tries it again
 */
export async function migrateRegistry(
  settings: DatabaseSettings,
  client: pg.Client,
  directory = migrationsDirectory,
): Promise<readonly string[]> {
  const migrationsList = await readMigrationList(directory);
  const names = migrationsList.migrationDirectories.map(({ path }) => path);
  await pastScripts(client);
  const history = await readHistory(client);
  if (history.unfinished !== null) await client.query(forgetUnfinishedSql);
  if (history.finished.size === 0) await requireRights(client, settings);
  const applied = names.every((name) => history.finished.has(name))
    ? []
    : await withSchemaEngine(settings, async (engine) => {
        const filters = { externalTables: [], externalEnums: [] };
        return (await engine.applyMigrations({ migrationsList, filters })).appliedMigrationNames;
      }).catch(async (error: unknown) => {
        const { unfinished } = await readHistory(client);
        // Whoever lacks a right is told so by the caller.
        if (unfinished === null || hasCode(error, '42501')) throw error;
        const reason = error instanceof Error ? error.message : String(error);
        throw new Error(`the registry's migration ${unfinished} failed and changed nothing: ${reason}`, {
          cause: error,
        });
      });
  const pool = createPool(settings, {
    max: 1,
    name: 'tenant-management-service migrator',
    onError: () => {},
  });
  try {
    await runMigrations({ pgPool: pool, logger: silent });
  } finally {
    await pool.end();
  }
  return applied;
}

/** The names of the migrations that the registry lacks; changes nothing. */
export async function missingMigrations(client: pg.Client): Promise<readonly string[]> {
  const { migrationDirectories } = await readMigrationList(migrationsDirectory);
  const { finished } = await readHistory(client);
  return migrationDirectories.map(({ path }) => path).filter((name) => !finished.has(name));
}

/** Says all at once what is missing, before anything is made. */
async function requireRights(client: pg.Client, { user, database }: DatabaseSettings): Promise<void> {
  const { rows } = await client.query<{ lacking: string | null }>(`
    SELECT nullif(concat_ws(', ',
      CASE WHEN NOT has_schema_privilege('public', 'CREATE') THEN 'CREATE on its schema public' END,
      CASE WHEN NOT has_database_privilege(current_database(), 'CREATE') THEN 'CREATE on it' END,
      CASE WHEN NOT EXISTS (SELECT FROM pg_roles WHERE rolname = current_user AND (rolcreaterole OR rolsuper))
        THEN 'CREATEROLE' END), '') AS lacking`);
  const lacking = rows[0]?.lacking;
  if (lacking != null) {
    throw new Error(
      `the user "${user}" lacks a right on the database "${database}" (${lacking}); deploy/administrator.sql gives it`,
    );
  }
}

async function refuseOldServer(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ server_version_num: string; server_version: string }>(
    `SELECT current_setting('server_version_num') AS server_version_num, current_setting('server_version') AS server_version`,
  );
  const [row] = rows;
  if (row !== undefined && Number(row.server_version_num) < 140_000) {
    throw new Error(`--db-host: PostgreSQL 14 or newer is needed; this one is ${row.server_version}`);
  }
}

/** Each migration is one transaction, with the note that it is finished: what has none was rolled back. */
const forgetUnfinishedSql =
  'UPDATE public._prisma_migrations SET rolled_back_at = now() WHERE finished_at IS NULL AND rolled_back_at IS NULL';

/** What Prisma's history says; when it has all that there is, the engine need not be loaded. */
async function readHistory(client: pg.Client): Promise<{ finished: Set<string>; unfinished: string | null }> {
  const history = await client.query<{ exists: boolean }>(
    `SELECT to_regclass('public._prisma_migrations') IS NOT NULL AS exists`,
  );
  if (history.rows[0]?.exists !== true) return { finished: new Set(), unfinished: null };
  const { rows } = await client.query<{ name: string; finished: boolean }>(
    'SELECT migration_name AS name, finished_at IS NOT NULL AS finished FROM public._prisma_migrations WHERE rolled_back_at IS NULL',
  );
  return {
    finished: new Set(rows.filter(({ finished }) => finished).map(({ name }) => name)),
    unfinished: rows.find(({ finished }) => !finished)?.name ?? null,
  };
}
