import { describe, expect, test } from 'vitest';
import { configOf, password, refusal, type Variables } from './invoke.ts';

describe('database', () => {
  const standard = {
    host: 'localhost',
    port: 5432,
    user: 'admin',
    password: 'securepassword',
    database: 'tenant_registry',
    ssl: false,
  };
  const settingsOf = (argv: readonly string[], env: Variables = {}) => {
    const { database } = configOf(argv, env);
    return database.kind === 'external' ? database.settings : database.kind;
  };

  test.each([
    [['--db-host=127.0.0.1'], {}, { host: '127.0.0.1' }],
    [['--db-port=5433'], {}, { port: 5433 }],
    [['--db-user=u'], {}, { user: 'u' }],
    [['--db-pass', 'a b'], {}, { password: 'a b' }],
    [['--db-name=d'], {}, { database: 'd' }],
    [[], { TMS_DB_NAME: 'd' }, { database: 'd' }],
    [[], password, { password: 'p' }],
    [[], { DATABASE_URL: 'postgres://localhost' }, {}],
    [[], { DATABASE_URL: 'postgresql:///d' }, { database: 'd' }],
    [[], { DATABASE_URL: 'postgres://u@[::1]:1/' }, { host: '::1', port: 1, user: 'u' }],
    [
      [],
      { DATABASE_URL: 'postgresql://u%40x:p%2F%3A%25@localhost:6/my%20d' },
      { port: 6, user: 'u@x', password: 'p/:%', database: 'my d' },
    ],
    [
      ['--db-port=7'],
      { DATABASE_URL: 'postgres://u:p@localhost:6/d' },
      { port: 7, user: 'u', password: 'p', database: 'd' },
    ],
  ])('%j with %j is an external database, the rest by default', (argv, env: Variables, part) => {
    expect(settingsOf(argv, env)).toEqual({ ...standard, ...part });
  });

  test('DATABASE_URL is not asked when every part is given', () => {
    const argv = ['--db-host=localhost', '--db-port=1', '--db-user=u', '--db-pass=p', '--db-name=d'];
    expect(settingsOf(argv, { DATABASE_URL: 'postgres://x/y?schema=public' })).toMatchObject({
      database: 'd',
    });
  });

  const form = 'DATABASE_URL takes postgres://user:password@host:port/name;';
  test.each([
    ['mysql://localhost/d', `${form} that is no such address (are special characters percent-encoded?)`],
    ['nonsense', `${form} that is no such address (are special characters percent-encoded?)`],
    [
      'postgres://u:pa/marker@localhost/d',
      `${form} that is no such address (are special characters percent-encoded?)`,
    ],
    ['postgres://u:1/marker@localhost/d', `${form} a / in the password or the name has to be written %2F`],
    [
      'postgres://u:p@localhost/d?schema=public',
      `${form} of query parameters it takes sslmode and sslrootcert, each once (a ? is written %3F elsewhere)`,
    ],
    [
      'postgres://u:p@localhost/d?sslmode=require&sslmode=disable',
      `${form} of query parameters it takes sslmode and sslrootcert, each once (a ? is written %3F elsewhere)`,
    ],
    ['postgres://u:p@localhost/d#marker', `${form} a # has to be written %23`],
    ['postgres://u:%marker@localhost/d', `${form} a % that stands for itself has to be written %25`],
    ['postgres://u:p@localhost:0/d', '--db-port (DATABASE_URL) takes a port from 1 to 65535'],
    ['postgres://u:p@mar%20ker/d', '--db-host (DATABASE_URL) takes a host name or an IP address'],
    ['postgres://u%00:p@localhost/d', '--db-user (DATABASE_URL) takes a role name of at most 63 bytes'],
    ['postgres://u:p%00@localhost/d', '--db-pass (DATABASE_URL) takes a password without control characters'],
    [
      `postgres://u:p@localhost/${'d'.repeat(64)}`,
      '--db-name (DATABASE_URL) takes a database name of at most 63 bytes',
    ],
  ])('DATABASE_URL=%s is refused without quoting it', (DATABASE_URL, line) => {
    expect(refusal([], { DATABASE_URL })).toBe(line);
  });

  test.each(['api', 'worker'])('--role %s needs an external database', (role) => {
    expect(refusal([`--role=${role}`])).toBe(
      `--role ${role} takes an external database: give --db-host or DATABASE_URL`,
    );
    expect(configOf([`--role=${role}`, '--db-host=localhost']).role).toBe(role);
  });

  test('in production the embedded database needs its directory named', () => {
    const production = { NODE_ENV: 'production' };
    expect(refusal([], production)).toBe(
      '--data-dir takes the directory of the embedded database and is needed with NODE_ENV=production; give it, or --db-host',
    );
    expect(configOf(['--data-dir=x'], production).database).toEqual({ kind: 'embedded' });
    expect(configOf([], { ...production, TMS_DATA_DIR: 'x' }).database).toEqual({ kind: 'embedded' });
    expect(configOf(['--db-host=localhost'], production).database.kind).toBe('external');
  });
});
