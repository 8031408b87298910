import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventsOf, migrationFiles, schemaOf, settled } from './worker-app.ts';

const timings = { firstRetryMs: 20 };
const two = {
  '0001_first.sql': 'CREATE TABLE first (id int PRIMARY KEY);',
  '0002_second.sql': 'CREATE TABLE second (id int PRIMARY KEY) -- without a semicolon',
};

const create = async (on: CoreApp) => (await on.core.tenants.create(editor, newTenant())).tenant.id;
const tablesOf = async ({ sql }: CoreApp, id: string) =>
  (
    await sql(
      `SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = $1::regnamespace ORDER BY 1`,
      [schemaOf(id)],
    )
  ).map(({ relname }) => relname);

describe('a third file that fails leaves nothing of the two before it, and is named:', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  test.each<[string, string, string, number]>([
    ['wrong syntax', 'CREATE TABEL third ();', 'syntax error at or near "TABEL"', 1],
    ['a statement without an end', 'SELECT (1', 'syntax error at end of input', 1],
    ['a text without an end', `SELECT 'it`, `unterminated quoted string at or near "'it"`, 1],
    ['a query of a table that is not there', 'SELECT FROM nowhere', 'relation "nowhere" does not exist', 1],
    ['a change of one', 'ALTER TABLE nowhere ADD id int', 'relation "nowhere" does not exist', 1],
    ['a division by zero', 'SELECT 1 / 0', 'division by zero', 1],
    [
      'a value that does not fit',
      `CREATE TABLE third AS SELECT 'confidential' AS note; ALTER TABLE third ALTER note TYPE int USING note::int`,
      'invalid input syntax for type integer',
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
    ['a refusal of its own', `DO $$ BEGIN RAISE 'not like this'; END $$`, 'not like this', 1],
  ])('%s', async (_, third, reason, attempt) => {
    const fourth = `CREATE TABLE fourth (note text DEFAULT 'it')`;
    await using files = await migrationFiles({ ...two, '0003_third.sql': third, '0004_fourth.sql': fourth });
    await using app = await startCore({ database, config: { tenantMigrations: files.directory }, timings });
    const id = await create(app);
    const { tenant, operation } = await settled(app, id);
    expect(operation).toMatchObject({ state: 'FAILED', attempt, error: `0003_third.sql: ${reason}` });
    expect(tenant).toMatchObject({ status: 'ERROR', schemaVersion: 0 });
    expect(await tablesOf(app, id)).toEqual([]);
    expect(await app.sql('TABLE tenant_migrations')).toEqual([]);
    expect(JSON.stringify(await eventsOf(app, id))).not.toMatch(/applied|confidential/);
  });
});
