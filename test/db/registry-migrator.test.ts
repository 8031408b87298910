import { randomBytes, randomUUID } from 'node:crypto';
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { openRegistry } from '../../src/db/open-registry.ts';
import { migrateRegistry, underMigrationLock } from '../../src/db/registry-migrator.ts';
import { asAdministrator } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { postgresVersions } from '../support/postgres-versions.ts';
import { startVersionCluster, type VersionCluster } from './version-cluster.ts';

const migrations = join(import.meta.dirname, '../../prisma/migrations');
const ours = (await readdir(migrations)).filter((name) => /^\d{14}_/.test(name)).sort();
const keys = [{ id: 'key', key: randomBytes(32) }];
const historySql =
  'SELECT migration_name AS name, finished_at IS NOT NULL AS finished, rolled_back_at IS NOT NULL AS undone, applied_steps_count AS steps FROM _prisma_migrations ORDER BY started_at';

function migrate(settings: DatabaseSettings, directory?: string): Promise<readonly string[]> {
  return underMigrationLock(settings, (client) => migrateRegistry(settings, client, directory));
}

describe.each(postgresVersions)('$title', (version) => {
  describe.skipIf(!version.available)('migrates the registry', () => {
    let cluster: VersionCluster;
    beforeAll(async () => {
      cluster = await startVersionCluster(version);
    });
    afterAll(() => cluster?.[Symbol.asyncDispose]());

    test('from nothing, and a second time finds nothing to do', async () => {
      await using database = await cluster.emptyDatabase();
      expect(await migrate(database.settings)).toEqual(ours);
      const tables = await tablesOf(database.settings);
      expect(tables).toEqual([
        '_prisma_migrations',
        'audit_entries',
        'encryption_keys',
        'idempotency_keys',
        'leases',
        'operation_steps',
        'operations',
        'provisioning_events',
        'registry',
        'tenant_credentials',
        'tenant_migrations',
        'tenants',
      ]);
      expect(await rowsOf(database.settings, historySql)).toEqual(
        ours.map((name) => ({ name, finished: true, undone: false, steps: 1 })),
      );
      expect(await migrate(database.settings)).toEqual([]);
      expect(await tablesOf(database.settings)).toEqual(tables);
    });

    test('once, when several processes start together', async () => {
      await using database = await cluster.emptyDatabase();
      const opened = await Promise.all(
        Array.from({ length: 4 }, () => openRegistry(database.settings, keys)),
      );
      expect(opened.map(({ applied }) => applied.length).sort()).toEqual([0, 0, 0, ours.length]);
      expect(new Set(opened.map(({ registryId }) => registryId)).size).toBe(1);
    });

    test('after whoever holds the lock, not beside it', async () => {
      await using database = await cluster.emptyDatabase();
      const begun = Promise.withResolvers<void>();
      const first = Promise.withResolvers<void>();
      const holder = underMigrationLock(database.settings, () => {
        begun.resolve();
        return first.promise;
      });
      await begun.promise;
      const second = migrate(database.settings);
      await eventually(async () => {
        const waiting = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted`;
        return (await rowsOf(database.administrator, waiting)).length === 1;
      }, 10_000);
      expect(await tablesOf(database.settings)).toEqual([]);
      first.resolve();
      await holder;
      expect(await second).toEqual(ours);
    });

    test('as a user with CREATEROLE and CREATE, who owns nothing', async () => {
      await using database = await cluster.emptyDatabase();
      await using user = await plainUser(database.administrator, 'CREATEROLE');
      await user.grant('CREATE ON DATABASE', 'CREATE ON SCHEMA public');
      expect(await openRegistry(user.settings, keys)).toMatchObject({ applied: ours });
    });

    test.each([
      [['CREATE ON DATABASE', 'CREATE ON SCHEMA public'], 'NOCREATEROLE', 'CREATEROLE'],
      [['CREATE ON SCHEMA public'], 'CREATEROLE', 'CREATE on it'],
      [['CREATE ON DATABASE'], 'CREATEROLE', 'CREATE on its schema public'],
      [[], 'NOCREATEROLE', 'CREATE on its schema public, CREATE on it, CREATEROLE'],
    ])('not as a user with %j and %s, and says what is missing', async (rights, attribute, lacking) => {
      await using database = await cluster.emptyDatabase();
      await using user = await plainUser(database.administrator, attribute);
      await user.grant(...rights);
      const { user: name, database: where } = user.settings;
      await expect(openRegistry(user.settings, keys)).rejects.toThrow(
        `the user "${name}" lacks a right on the database "${where}" (${lacking}); deploy/administrator.sql gives it`,
      );
      expect(await tablesOf(database.administrator)).toEqual([]);
    });

    test('and a migration that fails says why, leaves nothing, and is tried again', async () => {
      await using database = await cluster.emptyDatabase();
      const directory = await mkdtemp(join(tmpdir(), 'tms-migrations-'));
      await using cleanup = new AsyncDisposableStack();
      cleanup.defer(() => rm(directory, { recursive: true }));
      await cp(migrations, directory, { recursive: true });
      const bad = '20990101000000_bad';
      await mkdir(join(directory, bad));
      const write = (sql: string) => writeFile(join(directory, bad, 'migration.sql'), sql);

      await write('CREATE TABLE half (); SELECT 1 / 0;');
      await expect(migrate(database.settings, directory)).rejects.toThrow(
        /^the registry's migration 20990101000000_bad failed and changed nothing: division by zero$/,
      );
      expect(await tablesOf(database.settings)).not.toContain('half');

      await write('CREATE TABLE half ();');
      expect(await migrate(database.settings, directory)).toEqual([bad]);
      expect(await tablesOf(database.settings)).toContain('half');
      expect(await rowsOf(database.settings, historySql)).toEqual([
        ...ours.map((name) => ({ name, finished: true, undone: false, steps: 1 })),
        { name: bad, finished: false, undone: true, steps: 0 },
        { name: bad, finished: true, undone: false, steps: 1 },
      ]);
      expect(await migrate(database.settings, directory)).toEqual([]);
    });

    test('and goes on after a process that died behind a migration or in the middle of one', async () => {
      await using database = await cluster.emptyDatabase();
      await migrate(database.settings);
      // What is left when it dies before the engine has counted the step, and while the next one ran.
      await asAdministrator(
        database.administrator,
        `UPDATE _prisma_migrations SET applied_steps_count = 0;
         INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('${randomUUID()}', 'x', '20990101000000_next')`,
      );
      expect(await migrate(database.settings)).toEqual([]);
      expect(await rowsOf(database.settings, historySql)).toEqual([
        ...ours.map((name) => ({ name, finished: true, undone: false, steps: 0 })),
        { name: '20990101000000_next', finished: false, undone: true, steps: 0 },
      ]);
    });
  });
});

async function rowsOf(settings: DatabaseSettings, sql: string): Promise<Record<string, unknown>[]> {
  return (await asAdministrator(settings, sql)).rows;
}

async function tablesOf(settings: DatabaseSettings): Promise<unknown[]> {
  const rows = await rowsOf(
    settings,
    `SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY relname`,
  );
  return rows.map(({ relname }) => relname);
}

/** A login that is nobody's member and owns nothing. */
async function plainUser(administrator: DatabaseSettings, attribute: string) {
  const name = `user_${randomUUID().slice(0, 8)}`;
  const { database } = administrator;
  await asAdministrator(administrator, `CREATE ROLE ${name} LOGIN ${attribute} PASSWORD 'x'`);
  const settings: DatabaseSettings = { ...administrator, user: name, password: 'x' };
  return {
    settings,
    async grant(...rights: readonly string[]) {
      for (const right of rights) {
        const on = right.endsWith('DATABASE') ? `${right} ${pg.escapeIdentifier(database)}` : right;
        await asAdministrator(administrator, `GRANT ${on} TO ${name}`);
      }
    },
    async [Symbol.asyncDispose]() {
      await asAdministrator(administrator, `DROP OWNED BY ${name} CASCADE; DROP ROLE ${name}`);
    },
  };
}
