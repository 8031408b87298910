import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  bareEnvironment,
  createDirectory,
  databaseArguments,
  devToken,
  processesOn,
  spawnService,
} from '../support/process.ts';
import { completes } from './calls.ts';

// util-linux's `script` gives the service a terminal; that of BSD and macOS takes other options.
const hasScript = /util-linux/.test(spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout ?? '');
const title = hasScript
  ? 'on a terminal'
  : 'on a terminal: skipped, there is no util-linux `script` to be one';

describe.skipIf(!hasScript)(title, () => {
  test('a newcomer is told where to go, pastes the command and watches a tenant come up; Ctrl-C ends it all', async () => {
    await using directory = await createDirectory();
    const dataDir = join(directory.path, "it's a directory");
    const start = 'exec npm start --silent -- --port=0 --http-port=0';
    await using terminal = spawnService({ dataDir, command: ['script', '-qfec', start, '/dev/null'] });
    const { http, grpc } = await terminal.logged('ready');
    const token = await devToken(dataDir);
    const screen = await eventually(() => {
      const text = terminal.stdout().replaceAll('\r', '');
      return text.includes('tenantProvisioning') && text.endsWith('\n\n') && text;
    }, 10_000);

    expect(screen).toContain(`GraphiQL     http://127.0.0.1:${http}/graphql\n`);
    expect(screen).toContain(`gRPC         127.0.0.1:${grpc}\n`);
    expect(screen).toContain(`Admin token  ${token}\n`);
    const page = await fetch(`http://127.0.0.1:${http}/graphql`, { headers: { accept: 'text/html' } });
    expect(await page.text()).toContain('GraphiQL');

    const command = screen.slice(screen.indexOf('ask()')).trimEnd();
    const shown = execFileSync('bash', ['-c', command], { env: bareEnvironment, encoding: 'utf8', cwd: '/' });
    expect(shown).toContain('"tenantStatus":"ACTIVE"');
    expect(completes(shown), shown).toBe(true);

    terminal.type('\x03');
    expect(await terminal.end).toMatchObject({ code: 0, stderr: '' });
    expect(terminal.stdout()).toContain('"signal":"SIGINT"');
    expect(await processesOn(dataDir)).toEqual([]);
  });

  test.each([
    { settings: '--no-auth', header: '' },
    { settings: `--auth-secret=${'s'.repeat(32)}`, header: 'authorization: Bearer $TOKEN' },
  ])('with $settings no token is shown', async ({ settings, header }) => {
    await using directory = await createDirectory();
    await using database = await createTestDatabase();
    const flags = databaseArguments(database.settings).join(' ');
    const start = `exec node src/main.ts --port=0 --http-port=0 ${flags} ${settings}`;
    await using terminal = spawnService({
      dataDir: directory.path,
      command: ['script', '-qfec', start, '/dev/null'],
    });
    await terminal.logged('ready');
    await eventually(() => terminal.stdout().includes('tenantProvisioning'), 10_000);
    expect(terminal.stdout()).not.toContain('Admin token');
    expect(terminal.stdout()).toContain(header);
    terminal.type('\x03');
    expect(await terminal.end).toMatchObject({ code: 0 });
  });
});
