import { describe, expect, test } from 'vitest';
import { readTenantMigrations } from '../../src/workers/tenant-migrations.ts';
import { migrationFiles } from './worker-app.ts';

test('tenant migrations are one script from any version to the newest', async () => {
  await using files = await migrationFiles({
    '0002_second.sql': 'SELECT 2 -- without a semicolon',
    '0001_first.sql': 'SELECT 1;',
    '0003_third-one.sql': 'SELECT 3;',
    'README.md': 'not a migration',
  });
  const migrations = await readTenantMigrations(files.directory);
  expect(migrations.version).toBe(3);
  const statements = (version: number) => migrations.scriptFrom(version).match(/SELECT \d/g);
  expect([0, 1, 2, 3].map(statements)).toEqual([
    ['SELECT 1', 'SELECT 2', 'SELECT 3'],
    ['SELECT 2', 'SELECT 3'],
    ['SELECT 3'],
    null,
  ]);
  // A comment at the end of one file must not swallow the next one.
  expect(migrations.scriptFrom(1)).toMatch(/semicolon\n;\nSELECT 3/);
});

describe('a directory is refused', () => {
  test.each<[string, Record<string, string>, RegExp]>([
    [
      'without a file',
      {},
      /^--tenant-migrations takes a directory of SQL files like 0001_name\.sql; .* has none$/,
    ],
    ['that begins at another number', { '0002_x.sql': '' }, /expected 0001_….sql, found 0002_x\.sql$/],
    ['with a gap', { '0001_x.sql': '', '0003_x.sql': '' }, /expected 0002_….sql, found 0003_x\.sql$/],
    [
      'with a number twice',
      { '0001_x.sql': '', '0001_y.sql': '' },
      /expected 0002_….sql, found 0001_y\.sql$/,
    ],
    ['with a name of another kind', { 'first.sql': '' }, /expected 0001_….sql, found first\.sql$/],
  ])('%s', async (_, content, message) => {
    await using files = await migrationFiles(content);
    await expect(readTenantMigrations(files.directory)).rejects.toThrow(message);
  });

  test('that is not there', async () => {
    await expect(readTenantMigrations('/nowhere/at/all')).rejects.toThrow(/nowhere/);
  });
});
