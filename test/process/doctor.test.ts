import { describe, expect, test } from 'vitest';
import { joinEmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { asAdministrator } from '../support/database.ts';
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

const doctor = ['npm', 'run', 'doctor', '--silent', '--'];

describe('npm run doctor', () => {
  test('joins the embedded database of a running service, reports, mends, and says by its exit code what is left', async () => {
    await using directory = await createDirectory();
    const dataDir = directory.path;
    {
      await using service = await startService({ dataDir });
      const caller = { url: service.httpUrl, token: await devToken(dataDir) };
      const id = await createTenant(caller, 'acme');
      await untilActive(caller, id);
      // No database of its own, so nothing that would end the service's.
      const visit = (...args: string[]) => spawnService({ dataDir, command: doctor, args }).end;
      const healthy = '1 tenant checked, 0 skipped: 0 findings.\n';
      const settings = await joinEmbeddedPostgres(dataDir);
      if (settings === null) throw new Error('the embedded database does not run');
      await asAdministrator(settings, 'GRANT SELECT ON tenants TO PUBLIC');
      const found = 'server: registry: everybody has SELECT on tenants';
      expect(await visit('--tenant', id)).toEqual({
        code: 1,
        signal: null,
        stdout: `${found}; --fix mends it\n1 tenant checked, 0 skipped: 1 finding.\n`,
        stderr: '',
      });
      expect(await visit('--fix', `--tenant=${id}`)).toEqual({
        code: 0,
        signal: null,
        stdout: `${found}; mended\n1 tenant checked, 0 skipped: 1 finding, 1 mended.\n`,
        stderr: '',
      });
      expect(await visit()).toEqual({ code: 0, signal: null, stdout: healthy, stderr: '' });
      service.signal('SIGTERM');
      await service.end;
    }
    // Alone it starts the database, and stops it.
    expect(await runToEnd({ dataDir, command: doctor })).toMatchObject({ code: 0, stderr: '' });
    expect(await processesOn(dataDir)).toEqual([]);
  }, 120_000);

  test('prints its own flags before the service’s', async () => {
    const { code, stdout } = await runToEnd({ command: [...doctor, '--help'] });
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^Usage: npm run doctor -- .*\n[\s\S]*--tenant <id>[\s\S]*\n {2}--pooler-host <host> /,
    );
  });

  test('refuses with exit code 2 and one line what it cannot work on', async () => {
    await using database = await createFreshDatabase();
    const refusal = async (...args: string[]) => {
      const { code, stdout, stderr } = await runToEnd({ command: doctor, args });
      expect({ code, stdout, lines: stderr.split('\n').length }).toEqual({ code: 2, stdout: '', lines: 2 });
      return stderr.trimEnd();
    };
    expect(await refusal('--fixx')).toBe('"--fixx" is no flag: see --help');
    expect(await refusal('--tenant=acme')).toBe('--tenant takes the id of a tenant, a UUID');
    expect(await refusal()).toMatch(
      /^there is no database in \S+ yet: start the service, or name one by --db-host$/,
    );
    expect(await refusal(...databaseArguments(database.settings))).toBe(
      'the registry lacks its migration 20261123000000_registry: "npm run migrate" applies it',
    );
  }, 60_000);
});
