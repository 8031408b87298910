import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { applyAdministratorScript } from '../../src/db/administrator-script.ts';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';

export interface TestDatabase extends AsyncDisposable {
  /** The service's own role, no superuser. */
  readonly settings: DatabaseSettings;
  /** The superuser, on the same database. */
  readonly administrator: DatabaseSettings;
}

/** A migrated database of its own on the run's cluster; it goes with the test. */
export async function createTestDatabase(): Promise<TestDatabase> {
  const { administrator, registry, template } = inject('cluster');
  return createDatabase(administrator, registry, `TEMPLATE ${template} STRATEGY file_copy`);
}

/** A database as `deploy/administrator.sql` leaves it: the service's, and empty. */
export async function createEmptyDatabase(
  administrator: DatabaseSettings,
  registry: DatabaseSettings,
): Promise<TestDatabase> {
  const database = await createDatabase(administrator, registry, 'TEMPLATE template0');
  const { user, password, database: name } = database.settings;
  await applyAdministratorScript(administrator, { user, password, name });
  return database;
}

async function createDatabase(
  administrator: DatabaseSettings,
  registry: DatabaseSettings,
  options: string,
): Promise<TestDatabase> {
  const database = `test_${randomUUID().replaceAll('-', '')}`;
  await asAdministrator(administrator, `CREATE DATABASE ${database} OWNER ${registry.user} ${options}`);
  return {
    settings: { ...registry, database },
    administrator: { ...administrator, database },
    async [Symbol.asyncDispose]() {
      await asAdministrator(administrator, `DROP DATABASE IF EXISTS ${database} WITH (FORCE)`);
    },
  };
}

/** Runs one statement as the superuser. */
export async function asAdministrator(settings: DatabaseSettings, sql: string): Promise<pg.QueryResult> {
  const client = new pg.Client(settings);
  await client.connect();
  try {
    return await client.query(sql);
  } finally {
    await client.end();
  }
}
