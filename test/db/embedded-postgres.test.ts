import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { on, once } from 'node:events';
import { existsSync, watch } from 'node:fs';
import { chmod, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { applyAdministratorScript } from '../../src/db/administrator-script.ts';
import { lockDataDirectory } from '../../src/db/data-directory-lock.ts';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { joinEmbeddedPostgres, startEmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { postgresAccount } from '../../src/db/postgres-account.ts';
import { embeddedBinaries } from '../../src/db/postgres-binaries.ts';
import { findServer } from '../../src/db/postmaster-file.ts';
import { isRunning, type ProcessIdentity } from '../../src/db/process-identity.ts';

const run = promisify(execFile);
const debian = '/usr/lib/postgresql/15/bin';
const binaries15 = { postgres: `${debian}/postgres`, initdb: `${debian}/initdb` };
const has15 = existsSync(binaries15.postgres);
const isRoot = process.getuid?.() === 0;

// Each test makes a cluster or two.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 30_000 });

let dataDir = '';
let lines: string[] = [];

beforeEach(async () => {
  dataDir = await realpath(await mkdtemp(join(tmpdir(), 'embedded-')));
  await chmod(dataDir, 0o711);
  lines = [];
});

afterEach(async () => {
  const left = await findServer(cluster());
  if (left !== null) process.kill(left.process.pid, 'SIGQUIT');
  await vanished(left?.process ?? null);
  await rm(dataDir, { recursive: true, force: true, maxRetries: 5 });
  expect(left, 'a server was left running').toBeNull();
});

describe.each([
  { version: '18', binaries: {}, there: true },
  { version: '15', binaries: { binaries: binaries15 }, there: has15 },
])('PostgreSQL $version', ({ version, binaries, there }) => {
  const start = (settings: Readonly<Record<string, string>> = {}) =>
    startEmbeddedPostgres({ dataDir, settings, ...binaries, log: (line) => lines.push(line) });

  describe.skipIf(!there)(there ? 'is there' : `is skipped: ${debian} does not exist`, () => {
    test('starts from nothing, keeps its data over a restart, and leaves no process', async () => {
      let first: ProcessIdentity | null;
      {
        await using database = await start();
        expect(await rows(database.registry, 'SHOW server_version')).toEqual([
          { server_version: expect.stringMatching(new RegExp(`^${version}\\.`)) },
        ]);
        expect(await rows(database.registry, 'SHOW fsync')).toEqual([{ fsync: 'on' }]);
        await rows(database.registry, 'CREATE TABLE kept AS SELECT 7 AS number');
        first = await serverProcess();
      }
      expect(first && (await isRunning(first))).toBe(false);
      expect(existsSync(join(cluster(), 'postmaster.pid'))).toBe(false);

      await using database = await start();
      expect(await rows(database.registry, 'TABLE kept')).toEqual([{ number: 7 }]);
    });

    test('the service logs in as a role that is no superuser and stays in its own database', async () => {
      await using database = await start();
      expect(
        await rows(
          database.registry,
          `SELECT rolsuper, rolcreatedb, rolcreaterole, pg_has_role('pg_signal_backend', 'MEMBER') AS signals,
                  (SELECT datdba = pg_roles.oid FROM pg_database WHERE datname = current_database()) AS owns
           FROM pg_roles WHERE rolname = current_user`,
        ),
      ).toEqual([{ rolsuper: false, rolcreatedb: false, rolcreaterole: true, signals: true, owns: true }]);
      await rows(database.registry, 'CREATE ROLE some_tenant; CREATE SCHEMA some_tenant');
      await expect(rows(database.registry, 'CREATE DATABASE other')).rejects.toMatchObject({ code: '42501' });
      const elsewhere = { ...database.registry, database: 'postgres' };
      await expect(rows(elsewhere, 'CREATE TABLE public.foreign_table ()')).rejects.toMatchObject({
        code: '42501',
      });
      await expect(rows(elsewhere, 'CREATE SCHEMA foreign_schema')).rejects.toMatchObject({ code: '42501' });
    });

    test('nobody gets in without the password, and nothing listens but 127.0.0.1', async () => {
      await using database = await start();
      await expect(rows({ ...database.administrator, password: 'wrong' }, 'SELECT')).rejects.toMatchObject({
        code: '28P01',
      });
      expect(await rows(database.administrator, 'SHOW listen_addresses')).toEqual([
        { listen_addresses: '127.0.0.1' },
      ]);
      expect(await rows(database.administrator, 'SHOW unix_socket_directories')).toEqual([
        { unix_socket_directories: '' },
      ]);
      expect((await stat(cluster())).mode & 0o777).toBe(0o700);
      for (const name of ['postgres.json', 'postgres.log', 'postgres.lock']) {
        expect((await stat(join(dataDir, name))).mode & 0o777, name).toBe(0o600);
      }
    });

    test('after kill -9 of the service alone the next start replaces the server that it left', async () => {
      const service = await startService(binaries);
      await rows(service.registry, 'CREATE TABLE kept AS SELECT 7 AS number');
      const before = await serverProcess();
      const orphan = await openSession(service.registry);
      await orphan.query('SELECT pg_advisory_lock(1)');
      await service.kill();
      await using database = await start({ work_mem: '5MB' });
      expect(before && (await isRunning(before))).toBe(false);
      expect(lines).toEqual([expect.stringContaining('that a killed service left running')]);
      expect(database.registry).toEqual(service.registry);
      expect(await rows(database.registry, 'SELECT pg_try_advisory_lock(1) AS free')).toEqual([
        { free: true },
      ]);
      expect(await rows(database.registry, 'SHOW work_mem')).toEqual([{ work_mem: '5MB' }]);
      expect(await rows(database.registry, 'TABLE kept')).toEqual([{ number: 7 }]);
    });

    test('a port that is taken by now is replaced by another one', async () => {
      const first = await start();
      await first[Symbol.asyncDispose]();
      const squatter = createServer().listen(first.registry.port, '127.0.0.1');
      try {
        await once(squatter, 'listening');
        await using database = await start();
        expect(database.registry.port).not.toBe(first.registry.port);
        expect(await rows(database.registry, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
      } finally {
        squatter.close();
      }
    });

    test('after kill -9 of service and database the next start recovers what was acknowledged', async () => {
      const service = await startService(binaries);
      await rows(service.registry, 'CREATE TABLE kept AS SELECT 7 AS number');
      const before = await serverProcess();
      process.kill(-(before?.pid ?? Number.NaN), 'SIGKILL');
      await service.kill();
      await using database = await start();
      expect(await serverProcess()).not.toEqual(before);
      expect(await rows(database.registry, 'TABLE kept')).toEqual([{ number: 7 }]);
    });

    test('a kill -9 in the middle of creating the cluster leaves a clean next start', async () => {
      const drafted = draftAppears();
      const service = spawnService(binaries);
      await drafted;
      await killed(service);
      expect(existsSync(cluster())).toBe(false);
      await using database = await start();
      expect(await rows(database.registry, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
      expect((await readdir(dataDir)).filter((name) => name.includes('initdb'))).toEqual([]);
    });

    test('a postmaster.pid whose pid belongs to something else by now does not stop the start', async () => {
      await (await start())[Symbol.asyncDispose]();
      const account = await postgresAccount();
      const foreign = spawn('sleep', ['600'], { ...account, stdio: 'ignore' });
      try {
        await writeFile(
          join(cluster(), 'postmaster.pid'),
          `${foreign.pid}\n${cluster()}\n1700000000\n5999\n\n127.0.0.1\n1 1\nready   \n`,
        );
        expect(await joinEmbeddedPostgres(dataDir)).toBeNull();
        await using database = await start();
        expect(await rows(database.registry, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
        expect(foreign.exitCode ?? foreign.signalCode).toBeNull();
      } finally {
        await killed(foreign);
      }
    });
  });
});

describe('one data directory', () => {
  const start = () => startEmbeddedPostgres({ dataDir, log: (line) => lines.push(line) });

  test('serves one service at a time, and the refused one does no harm', async () => {
    await using database = await start();
    await expect(start()).rejects.toThrow(
      `the data directory ${dataDir} is in use by process ${process.pid}: stop it, or give another --data-dir`,
    );
    expect(await rows(database.registry, 'SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  test('of many that find the lock of a dead process one gets it', async () => {
    for (let round = 0; round < 10; round++) {
      await writeFile(join(dataDir, 'postgres.lock'), `${process.pid} 1\n`);
      await writeFile(join(dataDir, 'postgres.lock.takeover'), '2147483647 1\n');
      const tries = await Promise.allSettled(Array.from({ length: 8 }, () => lockDataDirectory(dataDir)));
      const taken = tries.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      expect(taken).toHaveLength(1);
      await taken[0]?.[Symbol.asyncDispose]();
      expect(await readdir(dataDir)).toEqual([]);
    }
  });

  test('other commands join the server that runs, and see that none does', async () => {
    expect(await joinEmbeddedPostgres(join(dataDir, 'absent'))).toBeNull();
    expect(await joinEmbeddedPostgres(dataDir)).toBeNull();
    {
      await using database = await start();
      expect(await joinEmbeddedPostgres(dataDir)).toEqual(database.registry);
    }
    expect(await joinEmbeddedPostgres(dataDir)).toBeNull();
  });

  test('disposing twice, also at once, waits for the same stop', async () => {
    const database = await start();
    await Promise.all([database[Symbol.asyncDispose](), database[Symbol.asyncDispose]()]);
    await database[Symbol.asyncDispose]();
    expect(await serverProcess()).toBeNull();
  });

  test('disposing ends sessions in the middle of a transaction', async () => {
    const database = await start();
    const { query, lost } = await openSession(database.registry);
    await query('BEGIN; CREATE TABLE unfinished ()');
    await database[Symbol.asyncDispose]();
    expect(await lost).toMatchObject({ code: '57P01' });
  });

  test('whose passwords are lost says what to do', async () => {
    await (await start())[Symbol.asyncDispose]();
    await writeFile(join(dataDir, 'postgres.json'), '{"superuser": 1}');
    await expect(start()).rejects.toThrow(
      `${join(dataDir, 'postgres.json')} is damaged: restore it from a backup`,
    );
    await rm(join(dataDir, 'postgres.json'));
    await expect(start()).rejects.toThrow(`${join(dataDir, 'postgres.json')}, the passwords of ${cluster()}`);
    expect(await readdir(dataDir)).not.toContain('postgres.lock');
  });

  test('quotes the reason when PostgreSQL does not start, and leaves nothing running', async () => {
    await expect(
      startEmbeddedPostgres({ dataDir, settings: { shared_buffers: 'much' }, log: () => {} }),
    ).rejects.toThrow(
      /did not start: FATAL: {2}invalid value for parameter "shared_buffers": "much" \(.*postgres\.log\)$/,
    );
    await writeFile(join(cluster(), 'PG_VERSION'), '9.6\n');
    await expect(start()).rejects.toThrow(/incompatible with server DETAIL: .* 9\.6/);
  });

  test('quotes the reason when the cluster cannot be made, and leaves nothing of it', async () => {
    const { postgres } = await embeddedBinaries();
    const initdb = join(dataDir, 'initdb');
    await writeFile(
      initdb,
      '#!/bin/sh\necho "initdb (PostgreSQL) 18.4"\necho "initdb: error: no room" >&2\ntest "$1" = --version\n',
      { mode: 0o755 },
    );
    await expect(
      startEmbeddedPostgres({ dataDir, binaries: { postgres, initdb }, log: () => {} }),
    ).rejects.toThrow('the embedded database could not be created: initdb: error: no room');
    expect(await readdir(dataDir)).toEqual(['initdb', 'postgres.json']);
  });

  test('without programs for this platform says what to do instead', async () => {
    const { platform } = process;
    Object.defineProperty(process, 'platform', { value: 'plan9' });
    try {
      await expect(embeddedBinaries()).rejects.toThrow(
        /@embedded-postgres\/plan9-\S+ is not installed .* --db-host$/,
      );
    } finally {
      Object.defineProperty(process, 'platform', { value: platform });
    }
  });

  test.skipIf(!isRoot)('that PostgreSQL cannot enter is named', async () => {
    await chmod(dataDir, 0o700);
    await expect(startEmbeddedPostgres({ dataDir: join(dataDir, 'a', 'b'), log: () => {} })).rejects.toThrow(
      `cannot enter ${dataDir}: run "chmod o+x ${dataDir}"`,
    );
  });

  test.skipIf(!isRoot)(
    'with programs in a directory that PostgreSQL cannot enter gets that one named',
    async () => {
      const closed = join(dataDir, 'closed');
      await run('install', ['-D', '-m', '755', '/bin/true', join(closed, 'bin', 'postgres')]);
      await chmod(closed, 0o700);
      const programs = { postgres: join(closed, 'bin', 'postgres'), initdb: join(closed, 'bin', 'initdb') };
      await expect(startEmbeddedPostgres({ dataDir, binaries: programs, log: () => {} })).rejects.toThrow(
        `cannot enter ${closed}:`,
      );
    },
  );
});

describe.skipIf(!existsSync(`${debian}/psql`))("the administrator's script", () => {
  test('does by psql what it does without, once and again, and psql asks for the password', async () => {
    await using database = await startEmbeddedPostgres({ dataDir, binaries: binaries15, log: () => {} });
    const script = new URL('../../deploy/administrator.sql', import.meta.url).pathname;
    const psql = (...options: string[]) =>
      run(`${debian}/psql`, ['--no-psqlrc', ...options, '-f', script], {
        env: {
          PGHOST: database.administrator.host,
          PGPORT: String(database.administrator.port),
          PGUSER: database.administrator.user,
          PGPASSWORD: database.administrator.password,
          PGDATABASE: 'postgres',
        },
      });
    const byPsql = { user: `by "psql' $1`, password: `it's "secret" \\ :name`, name: `the "psql' db` };
    const byUs = { ...byPsql, user: `by "us' $1`, name: `the "us' db` };

    await expect(psql()).rejects.toMatchObject({
      code: 3,
      stderr: expect.stringContaining('the password is missing'),
    });
    for (let time = 1; time <= 2; time++) {
      await psql(...Object.entries(byPsql).flatMap(([name, value]) => ['-v', `${name}=${value}`]));
      await applyAdministratorScript(database.administrator, byUs);
    }
    const made = [];
    for (const { user, password, name } of [byPsql, byUs]) {
      const settings = { ...database.administrator, user, password, database: name };
      made.push(
        await rows(
          settings,
          `SELECT rolsuper, rolcreatedb, rolcreaterole, rolcanlogin, rolconnlimit, rolvaliduntil,
                  datdba = r.oid AS owns, encoding, datcollate, has_schema_privilege('public', 'CREATE') AS creates,
                  EXISTS (SELECT FROM aclexplode(nspacl) WHERE grantee = 0 AND privilege_type = 'CREATE') AS all_create,
                  pg_has_role('pg_signal_backend', 'USAGE') AS signals
           FROM pg_roles r, pg_database, pg_namespace
           WHERE rolname = current_user AND datname = current_database() AND nspname = 'public'`,
        ),
      );
    }
    expect(made[0]).toHaveLength(1);
    expect(made[0]).toEqual(made[1]);
    expect(await readFile(join(dataDir, 'postgres.log'), 'utf8')).not.toContain('secret');
  });
});

function cluster(): string {
  return join(dataDir, 'postgres');
}

async function serverProcess(): Promise<ProcessIdentity | null> {
  return (await findServer(cluster()))?.process ?? null;
}

async function rows(settings: DatabaseSettings, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ ...settings, ssl: false });
  try {
    await client.connect();
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** A session that stays until the server ends it; `lost` is the first error it then gets. */
async function openSession(settings: DatabaseSettings) {
  const client = new pg.Client({ ...settings, ssl: false });
  const lost = new Promise<Error>((resolve) => {
    client.on('error', resolve);
  });
  await client.connect();
  return { query: (sql: string) => client.query(sql), lost };
}

/** A process of its own that starts the database, says so and stays. */
function spawnService(binaries: object): ChildProcess {
  const source = new URL('../../src/db/embedded-postgres.ts', import.meta.url).href;
  const script = `
    const { startEmbeddedPostgres } = await import(${JSON.stringify(source)});
    const options = { dataDir: ${JSON.stringify(dataDir)}, ...${JSON.stringify(binaries)}, log: () => {} };
    const { registry } = await startEmbeddedPostgres(options);
    console.log(JSON.stringify(registry));
    setInterval(() => {}, 60_000);`;
  return spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

async function startService(
  binaries: object,
): Promise<{ registry: DatabaseSettings; kill: () => Promise<void> }> {
  const service = spawnService(binaries);
  if (service.stdout === null) throw new Error('no output to read');
  for await (const line of createInterface(service.stdout)) {
    return { registry: JSON.parse(line), kill: () => killed(service) };
  }
  throw new Error('the service ended before it was ready');
}

async function killed(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

async function draftAppears(): Promise<void> {
  const abort = new AbortController();
  const watcher = watch(dataDir, { signal: abort.signal });
  for await (const [, name] of on(watcher, 'change')) if (String(name).includes('.initdb-')) break;
  abort.abort();
}

async function vanished(left: ProcessIdentity | null): Promise<void> {
  await expect.poll(async () => left !== null && (await isRunning(left)), { timeout: 10_000 }).toBe(false);
}
