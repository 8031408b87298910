import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { graphqlClient } from '../http/graphql-client.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  areGapless,
  connect,
  eventsOf,
  inState,
  type MigrationFiles,
  migrationFiles,
  schemaOf,
  settled,
} from './worker-app.ts';

const timings = { firstRetryMs: 20 };
const two = {
  '0001_first.sql': 'CREATE TABLE first (id int PRIMARY KEY);',
  '0002_second.sql': 'CREATE TABLE second (id int PRIMARY KEY) -- without a semicolon',
};

const third = { '0003_third.sql': 'CREATE TABLE third (id int PRIMARY KEY);' };
/** Ends a file; whoever runs it waits there for `oneEach`. */
const gate = '; SELECT pg_advisory_xact_lock_shared(42);';

const start = (database: TestDatabase, files: MigrationFiles) =>
  startCore({ database, timings, config: { tenantMigrations: files.directory, workerConcurrency: 1 } });

async function create(on: CoreApp): Promise<string> {
  return (await on.core.tenants.create(editor, newTenant())).tenant.id;
}

/** A new tenant when it is active. */
async function provisioned(on: CoreApp): Promise<string> {
  const id = await create(on);
  expect((await settled(on, id)).tenant.status).toBe('ACTIVE');
  return id;
}

async function deleted(on: CoreApp, id: string): Promise<void> {
  await on.core.tenants.remove(editor, id);
  expect((await settled(on, id)).operation).toMatchObject({ kind: 'DELETE', state: 'SUCCEEDED' });
}

/** Two tenants that two workers of one operation each brought up at the same time; both had come to the gate. */
async function oneEach(database: TestDatabase, on: CoreApp) {
  await using session = await connect(database.administrator);
  await session.query('SELECT pg_advisory_lock(42)');
  const ids = [await create(on), await create(on)];
  const waiting = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
  await eventually(async () => (await session.query(waiting)).length === 2, 30_000);
  await session.query('SELECT pg_advisory_unlock(42)');
  return Promise.all(ids.map((id) => settled(on, id)));
}

async function tablesOf({ sql }: CoreApp, id: string): Promise<unknown[]> {
  const tables = `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = $1::regnamespace ORDER BY relname`;
  return (await sql(tables, [schemaOf(id)])).map(({ relname }) => relname);
}

/** What the tenant's last operation told of the step that applies files. */
async function told(on: CoreApp, id: string): Promise<string[]> {
  const events = await eventsOf(on, id);
  expect(areGapless(events)).toBe(true);
  const { operationId } = await on.core.tenants.get(id, 'INCLUDE');
  return events
    .filter((event) => event.operationId === operationId && /apply_migrations|update_schema/.test(event.step))
    .map(({ step, status, message }) => `${step} ${status} ${message ?? ''}`.trim());
}

describe('a third file that fails leaves nothing of the two before it, and is named:', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  test.each<[string, string, string, number]>([
    ['wrong syntax', 'CREATE TABEL third ();', 'syntax error at or near "…"', 1],
    ['a statement without an end', 'SELECT (1', 'syntax error at end of input', 1],
    ['a text without an end', `SELECT 'it`, 'unterminated quoted string at or near "…"', 1],
    ['a query of a table that is not there', 'SELECT FROM nowhere', 'relation "nowhere" does not exist', 1],
    ['a change of one', 'ALTER TABLE nowhere ADD id int', 'relation "nowhere" does not exist', 1],
    ['a division by zero', 'SELECT 1 / 0', 'division by zero', 1],
    [
      'a value that does not fit',
      `CREATE TABLE third AS SELECT 'confidential' AS note; ALTER TABLE third ALTER note TYPE int USING note::int`,
      'invalid input syntax for type integer: "…"',
      1,
    ],
    [
      'rows that are not unique',
      `CREATE TABLE third AS SELECT 'confidential' AS note FROM generate_series(1, 2); CREATE UNIQUE INDEX third_key ON third (note)`,
      'could not create unique index "third_key"',
      5,
    ],
    [
      'a row that breaks a rule',
      `CREATE TABLE third (note text CHECK (note = '')); INSERT INTO third VALUES ('confidential')`,
      'new row for relation "third" violates check constraint "third_note_check"',
      1,
    ],
    [
      'a rule that is checked at the end',
      'ALTER TABLE second ADD other int REFERENCES first DEFERRABLE INITIALLY DEFERRED; INSERT INTO second VALUES (1, 2)',
      'insert or update on table "second" violates foreign key constraint "second_other_fkey"',
      1,
    ],
    [
      'what needs a mark',
      'CREATE INDEX CONCURRENTLY ON first (id)',
      'CREATE INDEX CONCURRENTLY cannot run inside a transaction block',
      1,
    ],
    [
      'a refusal of its own',
      `DO $$ BEGIN RAISE 'confidential'; END $$`,
      'the migration refused by itself (SQLSTATE P0001)',
      1,
    ],
  ])('%s', async (_, wrong, reason, attempt) => {
    const fourth = `CREATE TABLE fourth (note text DEFAULT 'it')`;
    await using files = await migrationFiles({ ...two, '0003_third.sql': wrong, '0004_fourth.sql': fourth });
    await using app = await start(database, files);
    const id = await create(app);
    const { tenant, operation } = await settled(app, id);
    expect(operation).toMatchObject({ state: 'FAILED', attempt, error: `0003_third.sql: ${reason}` });
    expect(tenant).toMatchObject({ status: 'ERROR', schemaVersion: 0 });
    expect(await tablesOf(app, id)).toEqual([]);
    expect(await app.sql('TABLE tenant_migrations')).toEqual([]);
    expect(JSON.stringify(await eventsOf(app, id))).not.toMatch(/applied|confidential/);
  });
});

test('of two workers with different files under one number, the second leaves its tenant FAILED without the file; the first mends it', async () => {
  await using database = await createTestDatabase();
  await using ours = await migrationFiles({ ...two, '0003_third.sql': `CREATE TABLE ours ()${gate}` });
  await using theirs = await migrationFiles({ ...two, '0003_third.sql': `CREATE TABLE theirs ()${gate}` });
  await using us = await start(database, ours);
  await using them = await start(database, theirs);
  const ends = await oneEach(database, us);
  const [first, second] = ends.sort((a, b) => b.tenant.schemaVersion - a.tenant.schemaVersion);
  expect(first).toMatchObject({ tenant: { schemaVersion: 3 }, operation: { state: 'SUCCEEDED' } });
  const reason =
    '--tenant-migrations: 0003_third.sql was changed after tenants got it; put it back as it was and add a new file';
  expect(second).toMatchObject({
    tenant: { status: 'ERROR', schemaVersion: 0 },
    operation: { state: 'FAILED', attempt: 1, error: reason },
  });
  const [firstId = '', secondId = ''] = [first?.tenant.id, second?.tenant.id];
  expect(await tablesOf(us, secondId)).toEqual([]);

  const tables = await tablesOf(us, firstId);
  const [right, wrong, refused] = tables.includes('ours') ? [us, them, theirs] : [them, us, ours];
  await wrong[Symbol.asyncDispose]();
  await expect(start(database, refused)).rejects.toThrow(reason);
  await right.core.operations.retry(editor, second?.operation.id ?? '');
  expect((await settled(right, secondId)).tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 3 });
  expect(await tablesOf(right, secondId)).toEqual(tables);
});

test('a worker with older files leaves a newer schema as it is, and what it lacks files for to a newer worker', async () => {
  await using database = await createTestDatabase();
  const gated = { ...two, '0002_second.sql': `CREATE TABLE second ()${gate}` };
  await using oldFiles = await migrationFiles(gated);
  await using newFiles = await migrationFiles({ ...gated, ...third });
  await using older = await start(database, oldFiles);
  let id = '';
  {
    await using newer = await start(database, newFiles);
    const ends = await oneEach(database, newer);
    id = ends.find(({ tenant }) => tenant.schemaVersion === 3)?.tenant.id ?? '';
  }
  await deleted(older, id);
  await older.core.tenants.restore(editor, id);
  const restored = await settled(older, id);
  expect(restored.operation).toMatchObject({ kind: 'RESTORE', state: 'SUCCEEDED', attempt: 1 });
  expect(restored.tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 3 });
  expect(await tablesOf(older, id)).toEqual(['first', 'second', 'third']);

  const next = await create(older);
  const error =
    '--tenant-migrations: tenants have 0003_third.sql, and this worker lacks it; restart it with it';
  await eventually(async () => (await inState(older, next, 'PENDING')).error === error, 10_000);
  await older[Symbol.asyncDispose]();
  await using newer = await start(database, newFiles);
  expect((await settled(newer, next)).tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 3 });
});

test('a table that somebody holds makes a restoration wait for its next try, and nobody else for long', async () => {
  await using database = await createTestDatabase();
  await using files = await migrationFiles(two);
  let id = '';
  {
    await using before = await start(database, files);
    id = await provisioned(before);
    await deleted(before, id);
  }
  await files.write('0003_third.sql', 'ALTER TABLE first ADD note text;');
  const table = `${schemaOf(id)}.first`;
  await using holder = await connect(database.administrator);
  await holder.query(`BEGIN; LOCK TABLE ${table} IN ACCESS SHARE MODE`);
  const config = { tenantMigrations: files.directory };
  await using app = await startCore({ database, config, timings: { firstRetryMs: 1_000 } });
  await app.core.tenants.restore(editor, id);
  const waits = 'SELECT FROM pg_locks WHERE relation = $1::regclass AND NOT granted';
  await eventually(async () => (await holder.query(waits, [table])).length === 1, 20_000);

  const began = Date.now();
  await using reader = await connect(database.administrator);
  expect(await reader.query(`SELECT FROM ${table}`)).toEqual([]);
  expect(Date.now() - began).toBeLessThan(7_000);
  expect(await inState(app, id, 'PENDING')).toMatchObject({
    attempt: 1,
    error: '0003_third.sql: canceling statement due to lock timeout',
    nextAttemptAt: expect.any(Date),
  });
  await holder.query('ROLLBACK');
  const { tenant, operation } = await settled(app, id);
  expect(operation).toMatchObject({ kind: 'RESTORE', state: 'SUCCEEDED', attempt: 2, error: null });
  expect(tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 3 });
});

test('files of an old tenant that take long hold up nobody whose roles have the same administrator', async () => {
  await using database = await createTestDatabase();
  await using files = await migrationFiles(two);
  await using administrator = await connect(database.administrator);
  let [id, neighbour] = ['', ''];
  {
    await using before = await start(database, files);
    [id, neighbour] = [await provisioned(before), await provisioned(before)];
    await deleted(before, id);
  }
  // As if others had come since.
  const [role] = await administrator.query(
    `SELECT member::regrole AS name FROM pg_auth_members WHERE roleid = $1::regrole AND admin_option`,
    [schemaOf(id)],
  );
  const service = database.settings.user;
  await administrator.query(`REVOKE ${role?.name} FROM ${service} GRANTED BY ${service}`);
  const untilFree = 'WHILE NOT pg_try_advisory_xact_lock_shared(42) LOOP PERFORM pg_sleep(0.02); END LOOP';
  await files.write('0003_third.sql', `CREATE TABLE third (); DO $$ BEGIN ${untilFree}; END $$`);
  const config = { tenantMigrations: files.directory };
  await using app = await startCore({ database, config, timings });
  await administrator.query('SELECT pg_advisory_lock(42)');
  await app.core.tenants.restore(editor, id);
  const atWork = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'`;
  await eventually(async () => (await administrator.query(atWork)).length === 1, 30_000);

  await app.core.leases.take(editor, { tenantId: neighbour, dsn: '' });
  await app.core.tenants.suspend(editor, neighbour);
  expect((await settled(app, neighbour)).operation).toMatchObject({ state: 'SUCCEEDED', attempt: 1 });
  await administrator.query('SELECT pg_advisory_unlock(42)');
  expect(await settled(app, id)).toMatchObject({
    tenant: { status: 'ACTIVE', schemaVersion: 3 },
    operation: { kind: 'RESTORE', state: 'SUCCEEDED', attempt: 1 },
  });
  const owners = `SELECT relowner::regrole::text AS owner FROM pg_class WHERE oid = $1::regclass`;
  expect(await administrator.query(owners, [`${schemaOf(id)}.third`])).toEqual([{ owner: schemaOf(id) }]);
});

describe('a tenant gets what it lacks, each file once,', () => {
  test('when its provisioning failed behind its files and is retried', async () => {
    await using database = await createTestDatabase();
    await using files = await migrationFiles(two);
    await using administrator = await connect(database.administrator);
    const { database: name } = database.settings;
    let id = '';
    {
      await using before = await start(database, files);
      // The tenant's login comes in by this right alone.
      await administrator.query(`REVOKE CONNECT ON DATABASE ${name} FROM PUBLIC`);
      id = await create(before);
      expect(await settled(before, id)).toMatchObject({
        tenant: { status: 'ERROR', schemaVersion: 2 },
        operation: { state: 'FAILED', attempt: 1, error: expect.stringContaining('permission denied') },
      });
    }
    await administrator.query(`GRANT CONNECT ON DATABASE ${name} TO PUBLIC`);
    await files.write('0003_third.sql', third['0003_third.sql']);
    await files.write('0004_fourth.sql', 'CREATE TABLE fourth ();');
    await using app = await start(database, files);
    const failed = await app.core.tenants.get(id);
    await app.core.operations.retry(editor, failed.operationId ?? '');
    expect((await settled(app, id)).tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 4 });
    expect(await tablesOf(app, id)).toEqual(['first', 'fourth', 'second', 'third']);
    expect(await told(app, id)).toEqual([
      'apply_migrations IN_PROGRESS',
      'apply_migrations IN_PROGRESS 0001_first.sql applied',
      'apply_migrations IN_PROGRESS 0002_second.sql applied',
      'apply_migrations SUCCESS',
      'apply_migrations IN_PROGRESS',
      'apply_migrations IN_PROGRESS 0003_third.sql applied',
      'apply_migrations IN_PROGRESS 0004_fourth.sql applied',
      'apply_migrations SUCCESS',
    ]);
  });

  test('when it is restored, which keeps its rows; when there is nothing new, nothing is told', async () => {
    await using database = await createTestDatabase();
    await using files = await migrationFiles(two);
    let id = '';
    {
      await using before = await start(database, files);
      id = await provisioned(before);
      await deleted(before, id);
    }
    await files.write('0003_third.sql', third['0003_third.sql']);
    await files.write('0004_fourth.sql', `ALTER TABLE first ADD note text DEFAULT 'new';`);
    await using administrator = await connect(database.administrator);
    await administrator.query(`INSERT INTO ${schemaOf(id)}.first VALUES (1)`);
    await using app = await start(database, files);
    const client = graphqlClient(app.app);
    const versions = `{ tenant(id: "${id}", deleted: INCLUDE) { schemaVersion } }`;
    expect(await client.data('admin', versions)).toEqual({ tenant: { schemaVersion: 2 } });
    for (const applied of [['0003_third.sql applied', '0004_fourth.sql applied'], []]) {
      await app.core.tenants.restore(editor, id);
      const { tenant, operation } = await settled(app, id);
      expect(operation).toMatchObject({ kind: 'RESTORE', state: 'SUCCEEDED', attempt: 1 });
      expect(tenant.status).toBe('ACTIVE');
      expect(await client.data('admin', versions)).toEqual({ tenant: { schemaVersion: 4 } });
      expect(await told(app, id)).toEqual([
        'update_schema IN_PROGRESS',
        ...applied.map((message) => `update_schema IN_PROGRESS ${message}`),
        'update_schema SUCCESS',
      ]);
      await deleted(app, id);
    }
    const rows = await administrator.query(`TABLE ${schemaOf(id)}.first`);
    expect(rows).toEqual([{ id: 1, note: 'new' }]);
  });
});
