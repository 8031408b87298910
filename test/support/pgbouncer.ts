import { execFile, spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chmod, chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { postgresAccount } from '../../src/db/postgres-account.ts';
import { asAdministrator } from './database.ts';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';

const run = promisify(execFile);

const deploy = join(import.meta.dirname, '../../deploy/pgbouncer');
// Debian has it where only root's PATH leads.
const program = ['pgbouncer', '/usr/sbin/pgbouncer'].find(
  (candidate) => spawnSync(candidate, ['--version']).status === 0,
);
const hasPsql = spawnSync('psql', ['--version']).status === 0;

/** Null when there is a PgBouncer to test with; else why not, for `describe.skipIf` and for the one line that says so. */
export const pgbouncerMissing: string | null =
  program === undefined
    ? 'the tests that need PgBouncer are skipped: no pgbouncer on the PATH or in /usr/sbin'
    : hasPsql
      ? null
      : 'the tests that need PgBouncer are skipped: no psql on the PATH';

export interface TestPgbouncer extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  /** PgBouncer's own login, on the same database: by PostgreSQL, or through itself with host and port of above. */
  readonly authUser: DatabaseSettings;
}

/** Does what the documented `psql -f deploy/pgbouncer/administrator.sql` does. */
export async function preparePooler(administrator: DatabaseSettings, authUser: DatabaseSettings) {
  const { host, port, user, password } = administrator;
  const variables = { pooler: authUser.user, password: authUser.password, name: authUser.database };
  const where = ['-h', host, '-p', String(port), '-U', user, '-d', 'postgres'];
  const set = Object.entries(variables).flatMap(([name, value]) => ['-v', `${name}=${value}`]);
  await run('psql', ['--no-psqlrc', '-q', ...where, ...set, '-f', join(deploy, 'administrator.sql')], {
    env: { ...process.env, PGPASSWORD: password },
  });
}

/**
 * Prepares the database by the administrator's script, and starts PgBouncer in front of it from the shipped
 * pgbouncer.ini, with the places of this test in it.
 * @param settings others of its settings, such as `max_db_connections`
 */
export async function startPgbouncer(
  administrator: DatabaseSettings,
  settings: Readonly<Record<string, string | number>> = {},
): Promise<TestPgbouncer> {
  await using stack = new AsyncDisposableStack();
  const { host, port: databasePort, database } = administrator;
  const user = `pgbouncer_${randomBytes(4).toString('hex')}`;
  const authUser: DatabaseSettings = {
    host,
    port: databasePort,
    database,
    user,
    password: randomBytes(16).toString('hex'),
    ssl: false,
  };
  stack.defer(async () => {
    await asAdministrator(administrator, `DROP OWNED BY ${user}; DROP ROLE ${user}`);
  });
  await preparePooler(administrator, authUser);

  const directory = await mkdtemp(join(tmpdir(), 'tms-pgbouncer-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const port = await freePort();
  const at = (file: string) => join(directory, file);
  const [ini, users, log] = [at('pgbouncer.ini'), at('userlist.txt'), at('pgbouncer.log')];
  const shipped = await readFile(join(deploy, 'pgbouncer.ini'), 'utf8');
  const here = {
    listen_port: port,
    unix_socket_dir: '',
    pidfile: at('pid'),
    logfile: log,
    auth_file: users,
    auth_user: user,
    ...settings,
  };
  const withPlaces = Object.entries(here).reduce(
    (text, [name, value]) => setTo(text, name, `${name} = ${value}`),
    setTo(shipped, 'tenant_registry', `${database} = host=${host} port=${databasePort}`),
  );
  await writeFile(ini, withPlaces);
  await writeFile(users, `"${user}" "${authUser.password}"\n`, { mode: 0o600 });
  const account = await postgresAccount();
  if (account !== null) {
    await chmod(directory, 0o700);
    for (const path of [directory, ini, users]) await chown(path, account.uid, account.gid);
  }

  const child = spawn(program ?? '', [ini], { ...account, cwd: '/', stdio: 'ignore' });
  const ended = once(child, 'close');
  stack.defer(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await eventually(async () => {
    if (child.exitCode !== null) throw new Error(await readFile(log, 'utf8'));
    const client = new pg.Client({ ...authUser, port });
    client.on('error', () => {});
    await client.connect();
    await client.end();
    return true;
  }, 10_000);
  const running = stack.move();
  return { host, port, authUser, [Symbol.asyncDispose]: () => running.disposeAsync() };
}

/** Puts a line in the place of the one that sets `name`. @throws when there is none */
function setTo(text: string, name: string, line: string): string {
  const old = new RegExp(`^${name} = .*$`, 'm');
  if (!old.test(text)) throw new Error(`pgbouncer.ini does not set ${name}`);
  return text.replace(old, () => line);
}
