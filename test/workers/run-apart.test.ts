import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createOperationJournal } from '../../src/db/operation-journal.ts';
import { createPool } from '../../src/db/pool.ts';
import { readLedger } from '../../src/workers/migration-ledger.ts';
import { asChief, roleAdminOf } from '../../src/workers/role-admin.ts';
import { runApart } from '../../src/workers/steps/run-apart.ts';
import { readTenantMigrations } from '../../src/workers/tenant-migrations.ts';
import { ownershipMark, tenantNames } from '../../src/workers/tenant-names.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { startVersionCluster, type VersionCluster } from '../db/version-cluster.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { postgresVersions } from '../support/postgres-versions.ts';
import { nobodyRemembers } from '../support/uncached.ts';
import {
  areGapless,
  connect,
  eventsOf,
  type MigrationFiles,
  migrationFiles,
  type Session,
  schemaOf,
  settled,
} from './worker-app.ts';

const mark = '-- no-transaction\n';
const table = (name: string) => `CREATE TABLE IF NOT EXISTS ${name} (id int PRIMARY KEY, note text);`;
const index = (on: string, kind = '') =>
  `${mark}CREATE ${kind} INDEX CONCURRENTLY IF NOT EXISTS ${on}_note_idx ON ${on} (note);`;
const timings = { firstRetryMs: 20, leaseMs: 3_000, sweepIntervalMs: 100 };

describe.each(postgresVersions)('$title', (version) => {
  describe.skipIf(!version.available)('a file that runs apart', () => {
    const newDatabase = () => cluster?.emptyDatabase() ?? createTestDatabase();
    let cluster: VersionCluster | undefined;
    beforeAll(async () => {
      if (version.version !== '18') cluster = await startVersionCluster(version);
    }, 120_000);
    afterAll(() => cluster?.[Symbol.asyncDispose]());

    test('runs in its place, between the transactions of the others, and makes what they would', async () => {
      await using database = await newDatabase();
      await using files = await migrationFiles({
        '0001_items.sql': `${mark}${table('items')}`,
        '0002_labels.sql': table('labels'),
        '0003_items_note.sql': index('items'),
        '0004_labels_note.sql': index('labels'),
        '0005_rows.sql': 'INSERT INTO items VALUES (1);',
        '0006_tags.sql': table('tags'),
        '0007_tags_note.sql': index('tags', 'UNIQUE'),
      });
      await using app = await start(database, files);
      await using administrator = await connect(database.administrator);
      await administrator.query(`
        CREATE TABLE versions (number serial, version int);
        CREATE FUNCTION note_version() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS
          'BEGIN INSERT INTO public.versions (version) VALUES (NEW.schema_version); RETURN NULL; END';
        CREATE TRIGGER note_version AFTER UPDATE ON tenants FOR EACH ROW
          WHEN (NEW.schema_version <> OLD.schema_version) EXECUTE FUNCTION note_version()`);
      const { id } = (await app.core.tenants.create(editor, newTenant())).tenant;
      const { tenant, operation } = await settled(app, id);
      expect(operation).toMatchObject({ state: 'SUCCEEDED', attempt: 1, error: null });
      expect(tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 7 });
      expect(await told(app, id)).toEqual([
        'IN_PROGRESS',
        'IN_PROGRESS 0001_items.sql applied',
        'IN_PROGRESS 0002_labels.sql applied',
        'IN_PROGRESS 0003_items_note.sql applied',
        'IN_PROGRESS 0004_labels_note.sql applied',
        'IN_PROGRESS 0005_rows.sql applied',
        'IN_PROGRESS 0006_tags.sql applied',
        'IN_PROGRESS 0007_tags_note.sql applied',
        'SUCCESS',
      ]);
      const versions = await administrator.query('SELECT version FROM versions ORDER BY number');
      expect(versions.map((row) => row.version)).toEqual([1, 2, 3, 4, 6, 7]);

      const schema = schemaOf(id);
      const valid = ['items', 'labels', 'tags'].map((name) => ({ name: `${name}_note_idx`, valid: true }));
      expect(await indexesOf(administrator, id)).toEqual(valid);
      const rights = await administrator.query(
        `SELECT DISTINCT relkind, relowner::regrole::text AS owner, relacl::text AS rights FROM pg_class
         WHERE relnamespace = $1::regnamespace ORDER BY relkind`,
        [schema],
      );
      expect(rights).toEqual([
        { relkind: 'i', owner: schema, rights: null },
        { relkind: 'r', owner: schema, rights: expect.stringContaining(`,${schema}_rows=arwd/${schema}}`) },
      ]);
      expect(await membersOf(administrator, schema)).toEqual([]);
    });

    test('fails with its name; when the rows are mended, a retry drops what it left and goes on', async () => {
      await using database = await newDatabase();
      await using files = await migrationFiles({ '0001_items.sql': table('items') });
      const id = await behind(database, files, index('items', 'UNIQUE'));
      await using administrator = await connect(database.administrator);
      const items = `${schemaOf(id)}.items`;
      await administrator.query(`INSERT INTO ${items} VALUES (1, 'confidential'), (2, 'confidential')`);
      await using app = await start(database, files);
      await app.core.tenants.restore(editor, id);
      const { tenant, operation } = await settled(app, id);
      const error = '0002_index.sql: could not create unique index "items_note_idx"';
      expect(operation).toMatchObject({ kind: 'RESTORE', state: 'FAILED', attempt: 5, error });
      expect(tenant.schemaVersion).toBe(1);
      expect(await indexesOf(administrator, id)).toEqual([{ name: 'items_note_idx', valid: false }]);
      expect(await membersOf(administrator, schemaOf(id))).toEqual([]);

      await administrator.query(`DELETE FROM ${items} WHERE id = 2`);
      await app.core.operations.retry(editor, operation.id);
      expect((await settled(app, id)).tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 2 });
      expect(await indexesOf(administrator, id)).toEqual([{ name: 'items_note_idx', valid: true }]);
      expect(JSON.stringify(await eventsOf(app, id))).not.toContain('confidential');
    });

    test('that outlives its runner is ended by the next one, which drops the rest and builds it', async () => {
      await using database = await newDatabase();
      await using files = await migrationFiles({ '0001_items.sql': table('items') });
      const id = await behind(database, files, index('items'));
      await using holder = await holdItems(database, id);
      {
        await using idle = await startCore({ database, worker: false });
        const { operation } = await idle.core.tenants.restore(editor, id);
        await takeAsDead(database, idle, operation.id);
      }
      await using dead = await connect(database.settings);
      const ended = expect(runFile(dead, id, files)).rejects.toThrow(
        '0002_index.sql: terminating connection due to administrator command',
      );
      const [first] = await eventually(async () => oneOf(await building(holder)), 10_000);
      expect(await indexesOf(holder, id)).toEqual([{ name: 'items_note_idx', valid: false }]);
      expect(await membersOf(holder, schemaOf(id))).toEqual([]);

      await using worker = await start(database, files);
      const atOnce = new Set<number>();
      await eventually(async () => {
        const backends = await building(holder);
        atOnce.add(backends.length);
        return backends.length > 0 && !backends.includes(first);
      }, 20_000);
      expect(Math.max(...atOnce)).toBe(1);
      await ended;
      await holder.query('ROLLBACK');
      const { tenant, operation } = await settled(worker, id);
      expect(operation).toMatchObject({ kind: 'RESTORE', state: 'SUCCEEDED', fence: 2, attempt: 1 });
      expect(tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 2 });
      expect(await indexesOf(holder, id)).toEqual([{ name: 'items_note_idx', valid: true }]);
      expect(await told(worker, id)).toEqual([
        'IN_PROGRESS',
        'IN_PROGRESS 0002_index.sql applied',
        'SUCCESS',
      ]);
    });

    test('is never run by two at once: of three runners the last one stays', async () => {
      await using database = await newDatabase();
      await using files = await migrationFiles({ '0001_items.sql': table('items') });
      const id = await behind(database, files, index('items'));
      await using holder = await holdItems(database, id);
      await using sessions = new AsyncDisposableStack();
      const runners = await Promise.all([1, 2, 3].map(() => connect(database.settings)));
      for (const runner of runners) sessions.use(runner);
      const administrators = await retireAdministrators(database, schemaOf(id));
      const ends: string[] = [];
      const work = runners.map((runner) =>
        runFile(runner, id, files).then(
          () => void ends.push('done'),
          () => void ends.push('ended'),
        ),
      );
      const atOnce = new Set<number>();
      await eventually(async () => {
        const backends = await building(holder);
        atOnce.add(backends.length);
        return ends.length === 2 && backends.length === 1;
      }, 20_000);
      expect(Math.max(...atOnce)).toBe(1);
      await holder.query('ROLLBACK');
      await Promise.all(work);
      expect(ends).toEqual(['ended', 'ended', 'done']);
      expect(await indexesOf(holder, id)).toEqual([{ name: 'items_note_idx', valid: true }]);
      for (const role of [...administrators, schemaOf(id)]) expect(await membersOf(holder, role)).toEqual([]);

      // Nobody noted it: it runs again.
      await using app = await start(database, files);
      await app.core.tenants.restore(editor, id);
      expect((await settled(app, id)).tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 2 });
    });

    test('is ended, and leaves the service no rights, when its tenant is deleted meanwhile', async () => {
      await using database = await newDatabase();
      await using files = await migrationFiles({ '0001_items.sql': table('items') });
      const id = await behind(database, files, index('items'));
      await using holder = await holdItems(database, id);
      await using app = await start(database, files);
      await app.core.tenants.restore(editor, id);
      await eventually(async () => oneOf(await building(holder)), 20_000);
      await app.core.tenants.remove(editor, id);
      expect((await settled(app, id)).operation).toMatchObject({ kind: 'DELETE', state: 'SUCCEEDED' });
      await eventually(async () => (await building(holder)).length === 0, 10_000);
      expect(await membersOf(holder, schemaOf(id))).toEqual([]);
      await holder.query('ROLLBACK');
      await app.core.tenants.restore(editor, id);
      expect((await settled(app, id)).tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 2 });
      expect(await indexesOf(holder, id)).toEqual([{ name: 'items_note_idx', valid: true }]);
    });
  });
});

const start = (database: TestDatabase, files: MigrationFiles) =>
  startCore({ database, timings, config: { tenantMigrations: files.directory } });

/** A deleted tenant that has all files but this one. */
async function behind(database: TestDatabase, files: MigrationFiles, next: string): Promise<string> {
  await using app = await start(database, files);
  const { id } = (await app.core.tenants.create(editor, newTenant())).tenant;
  expect((await settled(app, id)).tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 1 });
  await app.core.tenants.remove(editor, id);
  await settled(app, id);
  await files.write('0002_index.sql', next);
  return id;
}

/** Somebody in whose transaction the tenant's rows may change: an index is not built before it is over. */
async function holdItems(database: TestDatabase, id: string): Promise<Session> {
  const session = await connect(database.administrator);
  await session.query(`BEGIN; LOCK TABLE ${schemaOf(id)}.items IN ROW EXCLUSIVE MODE`);
  return session;
}

/** Takes the operation as a worker that then says no more. */
async function takeAsDead(database: TestDatabase, { sql }: CoreApp, operationId: string): Promise<void> {
  await sql(
    `UPDATE graphile_worker._private_jobs SET locked_at = now(), locked_by = 'dead', attempts = attempts + 1 WHERE key = $1`,
    [`operation:${operationId}`],
  );
  const pool = createPool(database.settings, { max: 1, name: 'dead', onError: () => {} });
  try {
    expect(
      await createOperationJournal({ pool, leaseMs: 200, cache: nobodyRemembers }).take(operationId),
    ).not.toBeNull();
  } finally {
    await pool.end();
  }
}

/** Runs what the tenant lacks, a marked file, as a runner does. */
async function runFile(session: Session, tenantId: string, files: MigrationFiles): Promise<void> {
  const migrations = await readTenantMigrations(files.directory, await readLedger(session));
  const [registry] = await session.query('SELECT id FROM registry');
  const registryId = String(registry?.id);
  const [script] = migrations.scriptsFrom(1);
  if (script === undefined) throw new Error('the tenant lacks nothing');
  const target = {
    names: tenantNames(tenantId),
    mark: ownershipMark(registryId, tenantId),
    migrations,
    tenantStatus: 'ACTIVE',
    schemaVersion: 1,
  } as const;
  await runApart(session, { registryId, tenantId, ...target }, script);
}

/** As when newer ones were made: the service does not act as those of the tenant's roles any more (from 16 on). */
async function retireAdministrators({ settings }: TestDatabase, owner: string): Promise<string[]> {
  await using session = await connect(settings);
  const [registry] = await session.query('SELECT id FROM registry');
  const admin = await roleAdminOf(session, String(registry?.id), owner);
  if (admin === null) return [];
  await session.query(`BEGIN; ${asChief(admin)} REVOKE ${admin.name} FROM SESSION_USER; COMMIT`);
  return [admin.name];
}

/** The backends that wait for the holder, with an index in their hands. */
async function building(holder: Session): Promise<unknown[]> {
  const waiting =
    'SELECT pid FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))';
  return (await holder.query(waiting)).map(({ pid }) => pid);
}

const oneOf = (backends: unknown[]) => backends.length === 1 && backends;

/** The indexes of notes, and whether they are whole. */
function indexesOf(session: Session, id: string): Promise<unknown[]> {
  return session.query(
    `SELECT relname AS name, indisvalid AS valid FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
     WHERE relnamespace = $1::regnamespace AND relname LIKE '%note%' ORDER BY relname`,
    [schemaOf(id)],
  );
}

/** Who has the rights of the tenant's owner, or can become it. */
function membersOf(session: Session, owner: string): Promise<unknown[]> {
  return session.query(
    `SELECT member::regrole::text AS member FROM pg_auth_members AS own WHERE roleid = $1::regrole
       AND coalesce((to_jsonb(own) ->> 'set_option')::boolean OR (to_jsonb(own) ->> 'inherit_option')::boolean, true)`,
    [owner],
  );
}

/** What was told last of the step that applies files. */
async function told(app: CoreApp, id: string): Promise<string[]> {
  const events = await eventsOf(app, id);
  expect(areGapless(events)).toBe(true);
  const last = events.findLast(({ message }) => message?.endsWith('applied'));
  return events
    .filter(({ operationId, step }) => operationId === last?.operationId && step === last?.step)
    .map(({ status, message }) => `${status} ${message ?? ''}`.trim());
}
