import { readdir } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { asAdministrator } from '../support/database.ts';
import { createDirectory, databaseArguments, devToken, startService } from '../support/process.ts';
import { type Caller, createTenant, graphql, httpGet, untilActiveElsewhere } from './calls.ts';
import { createFreshDatabase } from './fresh-database.ts';

describe('two replicas that start together on one fresh database', () => {
  test('both come up, one of them migrates, and both serve the same tenants', async () => {
    await using directory = await createDirectory();
    await using database = await createFreshDatabase();
    // One data directory, itself not there yet: the keys in it are made once, too.
    const options = { dataDir: `${directory.path}/new`, args: databaseArguments(database.settings) };
    const [one, other] = await Promise.all([startService(options), startService(options)]);
    await using _one = one;
    await using _other = other;
    const migrated = [one, other].filter((service) => service.stdout().includes('the registry was migrated'));
    expect(migrated).toHaveLength(1);
    const { rows } = await asAdministrator(
      database.administrator,
      'SELECT migration_name, finished_at IS NOT NULL AS finished, rolled_back_at FROM _prisma_migrations ORDER BY migration_name',
    );
    const names = (await readdir('prisma/migrations')).filter((name) => /^\d{14}_/.test(name)).sort();
    expect(rows).toEqual(
      names.map((migration_name) => ({ migration_name, finished: true, rolled_back_at: null })),
    );

    const token = await devToken(options.dataDir);
    for (const [creator, reader] of [
      [one, other],
      [other, one],
    ] as const) {
      const id = await createTenant({ url: creator.httpUrl, token }, `from-${creator.pid}`);
      await untilActiveElsewhere({ url: reader.httpUrl, token }, id);
    }
  });
});

describe('--role api and --role worker on one database', () => {
  test('share the work: the api serves and does not provision, the worker provisions and does not serve', async () => {
    await using directory = await createDirectory();
    await using database = await createFreshDatabase();
    const dataDir = directory.path;
    const args = databaseArguments(database.settings);
    await using api = await startService({ dataDir, args: [...args, '--role=api'] });
    expect(await httpGet(`${api.httpUrl}/health`)).toEqual({
      status: 200,
      body: { status: 'ok', checks: { database: 'up', redis: 'off', worker: 'off' } },
    });
    const caller: Caller = { url: api.httpUrl, token: await devToken(dataDir) };
    const early = await createTenant(caller, 'early');

    await using worker = await startService({ dataDir, args: [...args, '--role', 'worker'] });
    expect(await worker.logged('ready')).toMatchObject({ grpc: null, role: 'worker' });
    expect(await httpGet(`${worker.httpUrl}/health`)).toEqual({
      status: 200,
      body: { status: 'ok', checks: { database: 'up', redis: 'off', worker: 'up' } },
    });
    expect((await fetch(`${worker.httpUrl}/graphql`)).status).toBe(404);
    expect(await (await fetch(`${worker.httpUrl}/metrics`)).text()).toContain('pool_connections{');

    await untilActiveElsewhere(caller, early);
    await untilActiveElsewhere(caller, await createTenant(caller, 'late'));

    // Without its worker the api accepts still; what waits is done when there is one again.
    worker.signal('SIGTERM');
    expect(await worker.end).toMatchObject({ code: 0, stderr: '' });
    const waiting = await createTenant(caller, 'waiting');
    expect(await graphql(caller, `{ tenant(id: "${waiting}") { status } }`)).toEqual({
      data: { tenant: { status: 'PROVISIONING' } },
    });
    await using _again = await startService({ dataDir, args: [...args, '--role=worker'] });
    await untilActiveElsewhere(caller, waiting);
  });
});
