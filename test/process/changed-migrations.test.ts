import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { editor, newTenant, startCore } from '../core/core-app.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createDirectory, databaseArguments, runToEnd, startService } from '../support/process.ts';
import { migrationFiles, settled } from '../workers/worker-app.ts';

const key = randomBytes(32);
const contents = {
  '0001_users.sql': 'CREATE TABLE users (id int PRIMARY KEY);',
  '0002_projects.sql': 'CREATE TABLE projects (id int PRIMARY KEY);',
  '0003_labels.sql': 'CREATE TABLE labels (id int PRIMARY KEY);',
};
const { '0001_users.sql': users, '0002_projects.sql': projects, '0003_labels.sql': labels } = contents;

/** A registry with a tenant that has these files. */
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  await using files = await migrationFiles(contents);
  const config = { tenantMigrations: files.directory, encryptionKeys: [{ id: 'test', key }] };
  await using core = await startCore({ database, config });
  const { tenant } = await core.core.tenants.create(editor, newTenant());
  expect((await settled(core, tenant.id)).tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 3 });
});
afterAll(() => database?.[Symbol.asyncDispose]());

const argumentsFor = (directory: string) => [
  ...databaseArguments(database.settings),
  `--encryption-keys=test:${key.toString('base64')}`,
  `--tenant-migrations=${directory}`,
];

const edited = { ...contents, '0002_projects.sql': 'CREATE TABLE projects (id bigint PRIMARY KEY);' };
const wasEdited =
  '0002_projects.sql was changed after tenants got it; put it back as it was and add a new file';
const renumbered =
  'give it the name back under which tenants got it, and number new files behind the last one';

describe.concurrent('refused with exit code 2 and one line, which names the flag and the file, is a directory in which a file that tenants have', () => {
  test.each<[string, Record<string, string>, string]>([
    ['was edited', edited, wasEdited],
    [
      'is missing at the end',
      { '0001_users.sql': users, '0002_projects.sql': projects },
      '0003_labels.sql was applied to tenants and is missing; put it back',
    ],
    [
      'is missing in the middle',
      { '0001_users.sql': users, '0003_labels.sql': labels },
      '0002_projects.sql was applied to tenants and is missing; put it back',
    ],
    [
      'was renumbered',
      {
        '0001_users.sql': users,
        '0002_teams.sql': 'CREATE TABLE teams ();',
        '0003_projects.sql': projects,
        '0004_labels.sql': labels,
      },
      `0002_projects.sql is 0003_projects.sql now; ${renumbered}`,
    ],
  ])('%s', async (_, directory, reason) => {
    expect(await startRefusedWith(directory, 'all')).toBe(`--tenant-migrations: ${reason}\n`);
  });

  test('was edited, for a process that is a worker alone', async () => {
    expect(await startRefusedWith(edited, 'worker')).toBe(`--tenant-migrations: ${wasEdited}\n`);
  });
});

describe.concurrent('accepted is a directory', () => {
  test.each<[string, string, Record<string, string>]>([
    ['in which such a file was edited, by a process that applies none', 'api', edited],
    ['with new files behind those that tenants have', 'all', { ...contents, '0004_teams.sql': 'SELECT 1;' }],
  ])('%s', async (_, role, directory) => {
    await using files = await migrationFiles(directory);
    await using data = await createDirectory();
    const args = [...argumentsFor(files.directory), `--role=${role}`];
    await using service = await startService({ dataDir: data.path, args });
    service.signal('SIGTERM');
    expect(await service.end).toMatchObject({ code: 0, stderr: '' });
  });
});

/** What such a start says on standard error. */
async function startRefusedWith(directory: Record<string, string>, role: string): Promise<string> {
  await using files = await migrationFiles(directory);
  const args = [...argumentsFor(files.directory), '--port=0', '--http-port=0', `--role=${role}`];
  const { code, stdout, stderr } = await runToEnd({ args });
  expect(code).toBe(2);
  expect(stdout).not.toContain('"msg":"ready"');
  return stderr;
}
