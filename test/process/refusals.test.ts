import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { asAdministrator, createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';
import {
  createDirectory,
  databaseArguments,
  runToEnd,
  spawnService,
  startService,
} from '../support/process.ts';
import { createFreshDatabase } from './fresh-database.ts';

const freePorts = ['--port=0', '--http-port=0'];

let database: TestDatabase;
let taken: Server;
let takenPort: number;
const sockets = new Set<Socket>();

beforeAll(async () => {
  database = await createTestDatabase();
  // Accepts connections and says nothing.
  taken = createServer((socket) => {
    sockets.add(socket.on('error', () => {}));
  }).listen(0, '127.0.0.1');
  await once(taken, 'listening');
  takenPort = (taken.address() as AddressInfo).port;
});

afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  taken.close();
  await database[Symbol.asyncDispose]();
});

describe('asked for', () => {
  test('--help prints the table and exits with 0', async () => {
    const { code, stdout, stderr } = await runToEnd({ args: ['--help'] });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^Usage: npm start -- .*\n/);
    expect(stdout).toMatch(
      /\n {2}--worker-concurrency <number> +4 +operations at once, of all --processes together\n/,
    );
  });

  test('--version prints the version and exits with 0', async () => {
    expect(await runToEnd({ args: ['--version'] })).toEqual({
      code: 0,
      signal: null,
      stdout: '0.1.0\n',
      stderr: '',
    });
  });
});

describe.concurrent('refused with exit code 2 and one line, and nothing left running, is', () => {
  test('an unknown flag', async () => {
    expect(await runToEnd({ args: ['--http-prot=4000'] })).toEqual({
      code: 2,
      signal: null,
      stdout: '',
      stderr: '"--http-prot" is no flag: did you mean --http-port? see --help\n',
    });
  });

  test('an HTTP port that is taken, with an embedded database', async () => {
    expect(await refusal(['--port=0', `--http-port=${takenPort}`])).toBe(
      `Cannot listen for HTTP on 127.0.0.1:${takenPort}: another program listens there; choose another port with --http-port.`,
    );
  });

  test('a gRPC port that is taken, with an embedded database', async () => {
    expect(await refusal([`--port=${takenPort}`, '--http-port=0'])).toMatch(
      new RegExp(`^gRPC cannot listen on 127\\.0\\.0\\.1:${takenPort} \\(--host, --port\\): .*EADDRINUSE`),
    );
  });

  test('a database that nobody serves', async () => {
    const port = await freePort();
    expect(await refusedDatabase({ ...database.settings, host: 'localhost', port })).toBe(
      `--db-host, --db-port: PostgreSQL at localhost:${port} cannot be reached; start it, or name another one`,
    );
  });

  test('a host name that nobody knows', async () => {
    const args = [
      '--db-host=no-such-host.invalid',
      `--encryption-keys=k:${Buffer.alloc(32).toString('base64')}`,
    ];
    expect(await refusal([...freePorts, ...args, '--insecure'])).toBe(
      '--db-host, --db-port: PostgreSQL at no-such-host.invalid:5432 cannot be reached; start it, or name another one',
    );
  });

  test('a port where something else listens and says nothing', async () => {
    expect(await refusedDatabase({ ...database.settings, port: takenPort })).toBe(
      `--db-host, --db-port: PostgreSQL at 127.0.0.1:${takenPort} cannot be reached; start it, or name another one`,
    );
  });

  test('a port where something else listens and speaks no PostgreSQL', async () => {
    const other = createServer(
      (socket) => void socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'),
    );
    other.listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    expect(await refusedDatabase({ ...database.settings, port })).toBe(
      `--db-host, --db-port: PostgreSQL at 127.0.0.1:${port} cannot be reached; start it, or name another one`,
    );
    other.close();
  });

  test('a wrong password', async () => {
    const { host, port } = database.settings;
    expect(await refusedDatabase({ ...database.settings, password: 'a guess' })).toBe(
      `--db-user, --db-pass: PostgreSQL at ${host}:${port} does not let the user "admin" in with this password`,
    );
  });

  test('a user that does not exist', async () => {
    const { host, port } = database.settings;
    expect(await refusedDatabase({ ...database.settings, user: 'nobody' })).toBe(
      `--db-user, --db-pass: PostgreSQL at ${host}:${port} does not let the user "nobody" in with this password`,
    );
  });

  test('a database that does not exist', async () => {
    const { host, port } = database.settings;
    expect(await refusedDatabase({ ...database.settings, database: 'nowhere' })).toBe(
      `--db-name: PostgreSQL at ${host}:${port} has no database "nowhere"; deploy/administrator.sql makes it`,
    );
  });

  test('another encryption key than the registry knows', async () => {
    await using directory = await createDirectory();
    {
      await using service = await startService({
        dataDir: directory.path,
        args: databaseArguments(database.settings),
      });
      expect(service.stderr()).toBe('');
    }
    // Another data directory, so another key of the same name.
    expect(await refusedDatabase(database.settings)).toBe(
      '--encryption-keys: key "local" is not the one this registry knows by that id: restore the original key, or give the new one another id and keep the original in the list',
    );
    const key = Buffer.alloc(32).toString('base64');
    expect(await refusedDatabase(database.settings, [`--encryption-keys=other:${key}`])).toBe(
      `--encryption-keys: this registry's index key is wrapped under key "local", which is not in the list: add it`,
    );
  });

  test.each([
    {
      lacking: 'the right to create in the database',
      named: 'CREATE on its schema public, CREATE on it',
      attributes: 'CREATEROLE',
      grants: [],
    },
    {
      lacking: 'the right to create roles',
      named: 'CREATEROLE',
      attributes: '',
      grants: ['CREATE ON DATABASE :database', 'USAGE, CREATE ON SCHEMA public'],
    },
  ])('a PostgreSQL user without $lacking', async ({ attributes, grants, named }) => {
    await using fresh = await createFreshDatabase();
    const { administrator, settings } = fresh;
    const user = `poor_${settings.database}`.slice(0, 40);
    await asAdministrator(administrator, `CREATE ROLE ${user} LOGIN ${attributes} PASSWORD 'x'`);
    try {
      for (const grant of grants) {
        const right = grant.replace(':database', settings.database);
        await asAdministrator(administrator, `GRANT ${right} TO ${user}`);
      }
      expect(await refusedDatabase({ ...settings, user, password: 'x' })).toBe(
        `the user "${user}" lacks a right on the database "${settings.database}" (${named}); deploy/administrator.sql gives it`,
      );
    } finally {
      await asAdministrator(administrator, `DROP OWNED BY ${user} CASCADE; DROP ROLE ${user}`);
    }
  });
});

test('a service that is told to stop before it is ready comes up no more and leaves nothing', async () => {
  await using directory = await createDirectory();
  await using service = spawnService({ dataDir: directory.path, args: freePorts });
  await eventually(() => service.stdout().includes('creating the embedded database'), 20_000);
  service.signal('SIGTERM');
  expect(await service.end).toMatchObject({ code: 0, stderr: '' });
});

/** The one line on standard error with which a start is refused. @throws unless it is so refused */
async function refusal(args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await runToEnd({ args });
  expect({ code, lines: stderr.split('\n').length, stdout }).toMatchObject({ code: 2, lines: 2 });
  expect(stdout).not.toContain('"msg":"ready"');
  return stderr.trimEnd();
}

function refusedDatabase(settings: DatabaseSettings, further: readonly string[] = []): Promise<string> {
  return refusal([...freePorts, ...databaseArguments(settings), ...further]);
}
