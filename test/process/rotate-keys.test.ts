import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { joinEmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { openRegistry } from '../../src/db/open-registry.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  createDirectory,
  databaseArguments,
  devToken,
  runToEnd,
  spawnService,
  startService,
} from '../support/process.ts';
import { inOrder, readTenants, storeTenants } from '../support/sealed-tenants.ts';
import { createTenant, graphql, untilActive } from './calls.ts';

const rotate = ['npm', 'run', 'rotate-keys', '--silent', '--'];
const [former, next] = ['k1', 'k2'].map((id) => ({ id, key: randomBytes(32) }));
if (former === undefined || next === undefined) throw new Error('there are two keys');
const ring = (...keys: readonly { id: string; key: Uint8Array }[]) =>
  `--encryption-keys=${keys.map(({ id, key }) => `${id}:${Buffer.from(key).toString('base64')}`).join(',')}`;

const mayGo =
  'key "k1": nothing in the database is under it now; it may leave --encryption-keys once no process has it first; backups from before need it\n';

describe('npm run rotate-keys', () => {
  test('beside a running service brings all under its first key, so that the former one may go', async () => {
    await using directory = await createDirectory();
    const dataDir = directory.path;
    const visit = () => spawnService({ dataDir, command: rotate, args: [ring(next, former)] }).end;
    let id = '';
    {
      await using service = await startService({ dataDir, args: [ring(former)] });
      const caller = { url: service.httpUrl, token: await devToken(dataDir) };
      id = await createTenant(caller, 'acme');
      await untilActive(caller, id);
      expect(await visit()).toEqual({
        code: 2,
        signal: null,
        stdout: '',
        stderr:
          '--encryption-keys: the service runs, and was never started with key "k2": restart all its processes with that key in their list first, as docs/encryption.md says\n',
      });
      service.signal('SIGTERM');
      await service.end;
    }
    await using service = await startService({ dataDir, args: [ring(next, former)] });
    expect(await visit()).toEqual({
      code: 0,
      signal: null,
      stdout: [
        'index key: re-encrypted',
        'contact addresses: 0 re-encrypted, 1 left',
        'contact addresses: 1 re-encrypted, 0 left',
        'passwords: 0 re-encrypted, 1 left',
        'passwords: 1 re-encrypted, 0 left',
        'key "k2", the first: 1 contact address, 1 password, the index key',
        mayGo,
      ].join('\n'),
      stderr: '',
    });
    const caller = { url: service.httpUrl, token: await devToken(dataDir) };
    const query = '{ tenants(filter: { contactEmail: "OPS@acme.example" }) { nodes { id contactEmail } } }';
    expect(await graphql(caller, query)).toEqual({
      data: { tenants: { nodes: [{ id, contactEmail: 'ops@acme.example' }] } },
    });
    const settings = await joinEmbeddedPostgres(dataDir);
    if (settings === null) throw new Error('the embedded database does not run');
    const pool = new pg.Pool(settings);
    pool.on('error', () => {});
    const { keyRing } = await openRegistry(settings, [next]);
    expect(await readTenants(pool, keyRing)).toEqual([
      { id, contactEmail: 'ops@acme.example', password: expect.stringMatching(/^[\w-]{43}$/) },
    ]);
    await pool.end();
  }, 120_000);

  test('that is killed in the middle goes on where it was', async () => {
    await using directory = await createDirectory();
    await using database = await createTestDatabase();
    await using pools = new AsyncDisposableStack();
    const pool = new pg.Pool(database.settings);
    pool.on('error', () => {});
    pools.defer(() => pool.end());
    const { keyRing } = await openRegistry(database.settings, [former]);
    const tenants = await storeTenants(pool, keyRing, 1_200);
    const ofSecondBatch = inOrder(tenants)[700];
    // The second batch of addresses waits for a lock that the test has.
    await pool.query(`
      CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END';
      CREATE TRIGGER wait BEFORE UPDATE ON tenants FOR EACH ROW WHEN (NEW.id = '${ofSecondBatch?.id}') EXECUTE FUNCTION wait()`);
    const holder = await pool.connect();
    await holder.query('SELECT pg_advisory_lock(1)');
    const options = {
      dataDir: directory.path,
      command: rotate,
      args: [...databaseArguments(database.settings), ring(next, former)],
    };
    await using process = spawnService(options);
    await eventually(
      () => process.stdout().endsWith('contact addresses: 500 re-encrypted, 700 left\n'),
      60_000,
    );
    process.signalGroup('SIGKILL');
    expect((await process.end).signal).toBe('SIGKILL');
    // What the killed one had sent may still be done; it is done whole, or not at all.
    holder.release(true);
    const { code, stdout, stderr } = await runToEnd(options);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^contact addresses: 0 re-encrypted, [27]00 left\n/);
    expect(
      stdout.endsWith(
        `\nkey "k2", the first: 1200 contact addresses, 1200 passwords, the index key\n${mayGo}`,
      ),
    ).toBe(true);
    const renewed = await openRegistry(database.settings, [next]);
    expect(await readTenants(pool, renewed.keyRing)).toEqual(inOrder(tenants));
  });

  test('prints what it is before the service’s flags', async () => {
    const { code, stdout } = await runToEnd({ command: [...rotate, '--help'] });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Usage: npm run rotate-keys -- [\s\S]*\n {2}--encryption-keys <id:key,…> /);
  });
});
