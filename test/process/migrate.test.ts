import { describe, expect, test } from 'vitest';
import {
  createDirectory,
  databaseArguments,
  devToken,
  processesOn,
  runToEnd,
  spawnService,
  startService,
} from '../support/process.ts';
import { createTenant, untilActive } from './calls.ts';
import { createFreshDatabase } from './fresh-database.ts';

const migrate = ['npm', 'run', 'migrate', '--silent', '--'];

describe('npm run migrate', () => {
  test('alone makes the embedded database, brings it up to date and leaves nothing running', async () => {
    await using directory = await createDirectory();
    const dataDir = directory.path;
    const first = await runToEnd({ dataDir, command: migrate });
    expect(first).toMatchObject({ code: 0, stderr: '' });
    expect(first.stdout).toMatch(/^Applied 20\d{12}_registry(, 20\d{12}_\w+)*\.$/m);
    expect(await processesOn(dataDir)).toEqual([]);

    const second = await runToEnd({ dataDir, command: migrate });
    expect(second).toMatchObject({ code: 0, stderr: '' });
    expect(second.stdout).toMatch(/^Nothing to migrate\.$/m);
    expect(await processesOn(dataDir)).toEqual([]);
  });

  test('beside a running service joins its embedded database and leaves it alone', async () => {
    await using directory = await createDirectory();
    const dataDir = directory.path;
    await using service = await startService({ dataDir });
    // No database of its own, so nothing that would end the service's.
    const end = await spawnService({ dataDir, command: migrate }).end;
    expect(end).toMatchObject({ code: 0, stderr: '' });
    expect(end.stdout).toMatch(/^Nothing to migrate\.$/m);
    const caller = { url: service.httpUrl, token: await devToken(dataDir) };
    await untilActive(caller, await createTenant(caller, 'acme'));
  });

  test('brings an external database up to date, and a service then finds it so', async () => {
    await using directory = await createDirectory();
    await using database = await createFreshDatabase();
    const options = { dataDir: directory.path, args: databaseArguments(database.settings) };
    const end = await runToEnd({ ...options, command: migrate });
    expect(end).toMatchObject({ code: 0, stderr: '' });
    expect(end.stdout).toMatch(/^Applied 20\d{12}_registry(, 20\d{12}_\w+)*\.$/m);
    await using service = await startService(options);
    expect(service.stdout()).not.toContain('the registry was migrated');
  });

  test('says to keep the generated key, and nothing of one that the registry refuses', async () => {
    await using database = await createFreshDatabase();
    const [command, args] = [migrate, databaseArguments(database.settings)];
    const { stdout } = await runToEnd({ command, args });
    expect(stdout).toMatch(/the generated key in \S+encryption-key: back it up/);
    // Each has a data directory of its own, and so another key.
    const { code, stdout: refused, stderr } = await runToEnd({ command, args });
    expect({ code, refused }).toEqual({ code: 2, refused: '' });
    expect(stderr).toMatch(/^--encryption-keys: .+\n$/);
  });

  test('refuses what the service refuses, in one line', async () => {
    expect(await runToEnd({ command: [...migrate, '--db-prot=1'] })).toEqual({
      code: 2,
      signal: null,
      stdout: '',
      stderr: '"--db-prot" is no flag: did you mean --db-port? see --help\n',
    });
  });
});
