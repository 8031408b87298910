import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  MigrationsChangedError,
  type RecordedMigration,
  readLedger,
  recordMigrations,
  refuseChangedMigrations,
} from '../../src/workers/migration-ledger.ts';
import type { MigrationScript } from '../../src/workers/migration-script.ts';
import { readTenantMigrations, type TenantMigrations } from '../../src/workers/tenant-migrations.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { connect, migrationFiles } from './worker-app.ts';

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex');

async function migrationsOf(
  content: Readonly<Record<string, string>>,
  recorded: readonly RecordedMigration[] = [],
): Promise<TenantMigrations> {
  await using files = await migrationFiles(content);
  return await readTenantMigrations(files.directory, recorded);
}

/** What is left to compare of scripts: how each runs, and what it holds. */
const outline = (scripts: readonly MigrationScript[]) =>
  scripts.map(({ transactional, files, sql }) => ({
    transactional,
    files: files.map(({ name }) => name),
    statements: sql.match(/SELECT \d/g),
  }));

describe('the files of a directory', () => {
  test('are read in the order of their numbers, each with the checksum of its content', async () => {
    const migrations = await migrationsOf({
      '0002_second.sql': '-- no-transaction\nSELECT 2;\n',
      '0001_first.sql': 'SELECT 1;',
      '0003_third-one.sql': '-- nothing but a comment',
      'README.md': 'not a migration',
    });
    expect(migrations.version).toBe(3);
    expect(migrations.files).toEqual([
      { version: 1, name: '0001_first.sql', checksum: sha256('SELECT 1;'), transactional: true },
      {
        version: 2,
        name: '0002_second.sql',
        checksum: sha256('-- no-transaction\nSELECT 2;\n'),
        transactional: false,
      },
      {
        version: 3,
        name: '0003_third-one.sql',
        checksum: sha256('-- nothing but a comment'),
        transactional: true,
      },
    ]);
  });

  test('are the same ones with the line ends or the byte order mark of another system', async () => {
    const content = '-- no-transaction\nSELECT 1;\n';
    const there = await migrationsOf({ '0001_x.sql': `\uFEFF${content.replaceAll('\n', '\r\n')}` });
    const here = await migrationsOf({ '0001_x.sql': content });
    expect(there.files).toEqual(here.files);
    expect(there.scriptsFrom(0).map(({ sql }) => sql)).toEqual([content]);
  });

  test.each<[string, boolean]>([
    ['-- no-transaction', false],
    ['-- no-transaction  \nSELECT 1', false],
    ['-- no-transactions\nSELECT 1', true],
    ['-- Adds an index.\n-- no-transaction\nSELECT 1', true],
    ['SELECT 1 -- no-transaction', true],
  ])('run apart when their first line says so: %j', async (content, transactional) => {
    const { files } = await migrationsOf({ '0001_x.sql': content });
    expect(files.map((file) => file.transactional)).toEqual([transactional]);
  });
});

describe('a directory is refused', () => {
  test.each<[string, Record<string, string>, RegExp]>([
    [
      'without a file',
      {},
      /^--tenant-migrations takes a directory of SQL files like 0001_name\.sql; .* has none$/,
    ],
    ['that begins at another number', { '0002_x.sql': '--' }, /expected 0001_….sql, found 0002_x\.sql$/],
    ['with a gap', { '0001_x.sql': '--', '0003_x.sql': '--' }, /expected 0002_….sql, found 0003_x\.sql$/],
    [
      'with a number twice',
      { '0001_x.sql': '--', '0001_y.sql': '--' },
      /expected 0002_….sql, found 0001_y\.sql$/,
    ],
    ['with a name of another kind', { 'first.sql': '' }, /named like 0001_name\.sql; first\.sql is not$/],
    [
      'with an empty file',
      { '0001_x.sql': 'SELECT 1;', '0002_y.sql': ' \r\n' },
      /^--tenant-migrations takes files with SQL in them; 0002_y\.sql is empty$/,
    ],
  ])('%s', async (_, content, message) => {
    await expect(migrationsOf(content)).rejects.toThrow(message);
  });

  test('with a file that is not UTF-8', async () => {
    await using files = await migrationFiles({ '0001_x.sql': 'SELECT 1;' });
    await writeFile(join(files.directory, '0002_y.sql'), Buffer.from("SELECT 'caf\xe9'", 'latin1'));
    await expect(readTenantMigrations(files.directory, [])).rejects.toThrow(
      /^--tenant-migrations takes files in UTF-8; 0002_y\.sql is not$/,
    );
  });

  test('that is not there', async () => {
    await expect(readTenantMigrations('/nowhere/at/all', [])).rejects.toThrow(
      '--tenant-migrations takes a directory of SQL files; /nowhere/at/all cannot be read (ENOENT)',
    );
  });

  test('with a directory among its files', async () => {
    await using files = await migrationFiles({ '0001_x.sql': 'SELECT 1;' });
    await mkdir(join(files.directory, '0002_y.sql'));
    await expect(readTenantMigrations(files.directory, [])).rejects.toThrow(
      '--tenant-migrations takes a directory of SQL files; 0002_y.sql cannot be read (EISDIR)',
    );
  });
});

describe('the scripts', () => {
  test('are one from any version to the newest', async () => {
    const migrations = await migrationsOf({
      '0001_first.sql': 'SELECT 1;',
      '0002_second.sql': 'SELECT 2 -- without a semicolon',
      '0003_third.sql': 'SELECT 3;',
    });
    const all = { transactional: true, files: ['0001_first.sql', '0002_second.sql', '0003_third.sql'] };
    expect([0, 1, 2, 3, 4].map((version) => outline(migrations.scriptsFrom(version)))).toEqual([
      [{ ...all, statements: ['SELECT 1', 'SELECT 2', 'SELECT 3'] }],
      [{ ...all, files: all.files.slice(1), statements: ['SELECT 2', 'SELECT 3'] }],
      [{ ...all, files: all.files.slice(2), statements: ['SELECT 3'] }],
      [],
      [],
    ]);
    // A comment at the end of one file must not swallow the next one.
    expect(migrations.scriptsFrom(1)[0]?.sql).toBe('SELECT 2 -- without a semicolon\n;\nSELECT 3;');
  });

  test('are compiled once per version', async () => {
    const migrations = await migrationsOf({ '0001_x.sql': 'SELECT 1;', '0002_y.sql': 'SELECT 2;' });
    for (const version of [0, 1, 2]) {
      expect(migrations.scriptsFrom(version)).toBe(migrations.scriptsFrom(version));
    }
  });

  test('keep each marked file apart from its neighbours, in the order of the files', async () => {
    const migrations = await migrationsOf({
      '0001_a.sql': 'SELECT 1;',
      '0002_b.sql': 'SELECT 2;',
      '0003_c.sql': '-- no-transaction\nSELECT 3;',
      '0004_d.sql': '-- no-transaction\nSELECT 4;',
      '0005_e.sql': 'SELECT 5;',
    });
    const apart = (name: string, statement: string) => ({
      transactional: false,
      files: [name],
      statements: [statement],
    });
    const last = { transactional: true, files: ['0005_e.sql'], statements: ['SELECT 5'] };
    expect([0, 1, 3].map((version) => outline(migrations.scriptsFrom(version)))).toEqual([
      [
        { transactional: true, files: ['0001_a.sql', '0002_b.sql'], statements: ['SELECT 1', 'SELECT 2'] },
        apart('0003_c.sql', 'SELECT 3'),
        apart('0004_d.sql', 'SELECT 4'),
        last,
      ],
      [
        { transactional: true, files: ['0002_b.sql'], statements: ['SELECT 2'] },
        apart('0003_c.sql', 'SELECT 3'),
        apart('0004_d.sql', 'SELECT 4'),
        last,
      ],
      [apart('0004_d.sql', 'SELECT 4'), last],
    ]);
  });

  test('know their files one by one', async () => {
    const migrations = await migrationsOf({ '0001_x.sql': 'SELECT 1;', '0002_y.sql': 'SELECT 2' });
    const [script] = migrations.scriptsFrom(0);
    expect(script?.parts).toEqual([
      { file: migrations.files[0], sql: 'SELECT 1;' },
      { file: migrations.files[1], sql: 'SELECT 2' },
    ]);
  });
});

describe('files that tenants have', () => {
  const contents = {
    '0001_workspace.sql': 'SELECT 1;',
    '0002_projects.sql': 'SELECT 2;',
    '0003_labels.sql': 'SELECT 3;',
  };
  const recorded: readonly RecordedMigration[] = Object.entries(contents).map(([name, sql], index) => ({
    version: index + 1,
    name,
    checksum: sha256(sql),
  }));

  test.each<[string, Record<string, string>, readonly RecordedMigration[]]>([
    ['as they were', contents, recorded],
    ['with new ones behind them', { ...contents, '0004_more.sql': 'SELECT 4;' }, recorded],
    ['of which there are none', contents, []],
  ])('are accepted %s', async (_, files, ledger) => {
    const { version } = await migrationsOf(files, ledger);
    expect(version).toBe(Object.keys(files).length);
  });

  const { '0001_workspace.sql': first, '0002_projects.sql': second, '0003_labels.sql': third } = contents;
  const giveBack =
    'give it the name back under which tenants got it, and number new files behind the last one';
  test.each<[string, Record<string, string>, string]>([
    [
      'edited',
      { ...contents, '0002_projects.sql': 'SELECT 20;' },
      '0002_projects.sql was changed after tenants got it; put it back as it was and add a new file',
    ],
    [
      'missing at the end',
      { '0001_workspace.sql': first, '0002_projects.sql': second },
      '0003_labels.sql was applied to tenants and is missing; put it back',
    ],
    [
      'missing in the middle',
      { '0001_workspace.sql': first, '0003_labels.sql': third },
      '0002_projects.sql was applied to tenants and is missing; put it back',
    ],
    [
      'replaced by one that has nothing of it',
      { '0001_workspace.sql': first, '0002_other.sql': 'SELECT 9;', '0003_labels.sql': third },
      '0002_projects.sql was applied to tenants and is missing; put it back',
    ],
    [
      'renumbered by one put before it',
      {
        '0001_workspace.sql': first,
        '0002_new.sql': 'SELECT 9;',
        '0003_projects.sql': second,
        '0004_labels.sql': third,
      },
      `0002_projects.sql is 0003_projects.sql now; ${giveBack}`,
    ],
    [
      'renumbered by the removal of one before it',
      { '0001_workspace.sql': first, '0002_labels.sql': third },
      '0002_projects.sql was applied to tenants and is missing; put it back',
    ],
    [
      'swapped',
      { '0001_workspace.sql': first, '0002_labels.sql': third, '0003_projects.sql': second },
      `0002_projects.sql is 0003_projects.sql now; ${giveBack}`,
    ],
    [
      'renumbered and edited',
      {
        '0001_workspace.sql': first,
        '0002_new.sql': 'SELECT 9;',
        '0003_projects.sql': 'SELECT 20;',
      },
      `0002_projects.sql is 0003_projects.sql now; ${giveBack}`,
    ],
    [
      'renamed',
      { '0001_workspace.sql': first, '0002_tasks.sql': second, '0003_labels.sql': third },
      `0002_projects.sql is 0002_tasks.sql now; ${giveBack}`,
    ],
  ])('are refused by name when one is %s', async (_, files, message) => {
    await expect(migrationsOf(files, recorded)).rejects.toEqual(new MigrationsChangedError(message));
  });

  test('are not taken for one that is missing, though they have its content', async () => {
    const twins = { '0001_workspace.sql': first, '0002_fill.sql': second, '0003_refill.sql': second };
    const { files } = await migrationsOf(twins);
    const later = {
      '0001_workspace.sql': first,
      '0002_other.sql': 'SELECT 9;',
      '0003_refill.sql': second,
    };
    await expect(migrationsOf(later, files)).rejects.toEqual(
      new MigrationsChangedError('0002_fill.sql was applied to tenants and is missing; put it back'),
    );
  });
});

describe('in a database', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database?.[Symbol.asyncDispose]());

  test('the scripts run in turn, those of marked files outside of a transaction', async () => {
    const migrations = await migrationsOf({
      '0001_items.sql': 'CREATE TABLE items (id int); -- the first one',
      '0002_labels.sql': 'CREATE TABLE labels (id int)',
      '0003_index.sql':
        '-- no-transaction\nCREATE INDEX CONCURRENTLY IF NOT EXISTS items_id_idx ON items (id);\n',
      '0004_fill.sql': 'INSERT INTO items SELECT generate_series(1, 3)',
    });
    await using session = await connect(database.settings);
    for (const { transactional, sql } of migrations.scriptsFrom(0)) {
      if (transactional) await session.query('BEGIN');
      await session.query(sql);
      if (transactional) await session.query('COMMIT');
    }
    expect(
      await session.query(
        `SELECT to_regclass('labels') IS NOT NULL AS labels, (SELECT count(*)::int FROM items) AS items,
           (SELECT indisvalid FROM pg_index WHERE indexrelid = 'items_id_idx'::regclass) AS index`,
      ),
    ).toEqual([{ labels: true, items: 3, index: true }]);
  });
});

describe('the ledger', () => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => database?.[Symbol.asyncDispose]());

  test('keeps what the first tenant got', async () => {
    const { files } = await migrationsOf({ '0001_x.sql': 'SELECT 1;', '0002_y.sql': 'SELECT 2;' });
    const recorded = files.map(({ version, name, checksum }) => ({ version, name, checksum }));
    await using session = await connect(database.settings);
    expect(await readLedger(session)).toEqual([]);
    await recordMigrations(session, files.slice(0, 1));
    expect(await readLedger(session)).toEqual(recorded.slice(0, 1));
    await recordMigrations(session, files);
    await recordMigrations(session, [{ version: 2, name: '0002_z.sql', checksum: sha256('SELECT 9;') }]);
    await recordMigrations(session, []);
    expect(await readLedger(session)).toEqual(recorded);
  });

  test('is the registry’s, also while the search path is a schema with such a table', async () => {
    const { files } = await migrationsOf({ '0001_x.sql': 'SELECT 1;' });
    await using session = await connect(database.settings);
    await session.query('CREATE SCHEMA other; CREATE TABLE other.tenant_migrations (note text)');
    await session.query('SET search_path TO other');
    await recordMigrations(session, files);
    expect(await readLedger(session)).toEqual([
      { version: 1, name: '0001_x.sql', checksum: sha256('SELECT 1;') },
    ]);
    expect(await session.query('TABLE other.tenant_migrations')).toEqual([]);
  });

  test('refuses one of two workers with different files', async () => {
    const ours = await migrationsOf({ '0001_x.sql': 'SELECT 1;' });
    const theirs = await migrationsOf({ '0001_x.sql': 'SELECT 2;' });
    await using us = await connect(database.settings);
    await using them = await connect(database.settings);
    const [backend] = await them.query('SELECT pg_backend_pid() AS pid');
    await us.query('BEGIN');
    await recordMigrations(us, ours.files);
    await them.query('BEGIN');
    const waiting = recordMigrations(them, theirs.files);
    await eventually(
      async () =>
        (await us.query(`SELECT FROM pg_locks WHERE pid = $1 AND NOT granted`, [backend?.pid])).length > 0,
      10_000,
    );
    await us.query('COMMIT');
    await waiting;
    const ledger = await readLedger(them);
    expect(() => refuseChangedMigrations(theirs, ledger)).toThrow(
      '0001_x.sql was changed after tenants got it; put it back as it was and add a new file',
    );
    expect(() => refuseChangedMigrations(ours, ledger)).not.toThrow();
  });
});
