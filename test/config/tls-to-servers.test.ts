import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { beforeAll, describe, expect, test } from 'vitest';
import { configOf, directory, key, refusal, served } from './invoke.ts';

describe('TLS to the servers behind', () => {
  const at = (name: string) => join(directory, name);
  beforeAll(() => {
    const [one = '', other = ''] = rootCertificates;
    writeFileSync(at('ca.pem'), `An authority\n${one}\nand another\n${other}\n`);
    writeFileSync(at('half.pem'), one.slice(0, 300));
    writeFileSync(at('broken.pem'), one.replace(/\n[^\n]+\n/, '\nMIIB\n'));
  });

  /** Whether the database's certificate is verified; null: not encrypted. */
  const verified = (argv: readonly string[], env: Record<string, string> = {}) => {
    const { database } = configOf([`--encryption-keys=a:${key}`, ...argv], env);
    if (database.kind === 'embedded') return 'embedded';
    const { ssl } = database.settings;
    return ssl === false ? null : ssl.rejectUnauthorized;
  };
  const url = (rest: string) => ({ DATABASE_URL: `postgres://u:p@${rest}` });

  test.each([
    [['--db-host=localhost'], {}, null],
    [['--db-host=127.0.0.9'], {}, null],
    [['--db-host=db.example.com'], {}, true],
    [['--db-sslmode=require'], {}, false],
    [[], { TMS_DB_SSLMODE: 'verify-full' }, true],
    [['--db-host=db.example.com', '--db-sslmode=require'], {}, false],
    [[], url('db.example.com/d'), true],
    [[], url('localhost/d?sslmode=require'), false],
    [[], url('localhost/d?'), null],
    [['--db-sslmode=disable'], url('localhost/d?sslmode=require'), null],
    // The host decides about what is not said, wherever it comes from.
    [['--db-host=db.example.com'], url('localhost/d'), true],
  ])('%j with %j verifies: %s', (argv, env, expected) => {
    expect(verified(argv, env)).toBe(expected);
  });

  test('a file of authorities is taken from the flag or from DATABASE_URL', () => {
    const ca = `--db-ca=${at('ca.pem')}`;
    expect(verified(['--db-host=db.example.com', ca])).toBe(true);
    expect(verified([], url(`localhost/d?sslmode=verify-full&sslrootcert=${at('ca.pem')}`))).toBe(true);
    expect(
      configOf(['--redis-url=rediss://localhost', `--redis-ca=${at('ca.pem')}`]).redisTls,
    ).not.toBeNull();
  });

  test('Redis is encrypted by its scheme, however that is written', () => {
    expect(configOf(['--redis-url=REDISS://redis.example.com']).redisTls).not.toBeNull();
    expect(configOf(['--redis-url=redis://localhost']).redisTls).toBeNull();
  });

  test.each([
    [['--db-sslmode=prefer'], '--db-sslmode takes disable, require or verify-full, not "prefer"'],
    [
      ['--db-host=db.example.com', `--encryption-keys=a:${key}`, '--db-sslmode=disable'],
      '--db-sslmode disable with --db-host outside loopback is refused: give --db-sslmode verify-full, or accept it with --insecure',
    ],
  ])('%j is refused', (argv, line) => {
    expect(refusal(argv)).toBe(line);
  });

  test('authorities that would verify nothing are refused', () => {
    const line = (mode: string) =>
      `--db-ca verifies nothing with --db-sslmode ${mode}: give --db-sslmode verify-full, or no --db-ca`;
    const ca = `--db-ca=${at('ca.pem')}`;
    expect(refusal([ca])).toBe(line('disable'));
    expect(refusal([ca, '--db-sslmode=require'])).toBe(line('require'));
    for (const argv of [[], ['--redis-url=redis://localhost']]) {
      expect(refusal([...argv, `--redis-ca=${at('ca.pem')}`])).toBe(
        '--redis-ca verifies nothing without a rediss:// address: give one as --redis-url',
      );
    }
  });

  test.each(['missing.pem', 'half.pem', 'broken.pem', ''])(
    'a file of authorities that is %j is refused',
    (name) => {
      expect(refusal([`--db-ca=${at(name)}`])).toMatch(
        /^--db-ca takes a readable PEM file of certificates, not "/,
      );
    },
  );

  test.each([
    ['sslmode=marker', '--db-sslmode (DATABASE_URL) takes disable, require or verify-full'],
    ['sslmode=', '--db-sslmode (DATABASE_URL) takes disable, require or verify-full; its value is empty'],
    ['sslrootcert=/marker', '--db-ca (DATABASE_URL) takes a readable PEM file of certificates'],
  ])('DATABASE_URL with %s is refused without quoting it', (parameters, line) => {
    expect(refusal([], url(`localhost/d?${parameters}`))).toBe(line);
  });

  test('with --insecure a plain remote database is a warning', () => {
    const { config, warnings } = served(['--db-host=10.0.0.2', '--db-sslmode=disable', '--insecure']);
    expect(warnings).toContain('--insecure accepts --db-sslmode disable with --db-host outside loopback');
    expect(config.database).toMatchObject({ settings: { ssl: false } });
  });
});
