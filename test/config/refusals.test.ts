import { describe, expect, test } from 'vitest';
import { isLoopback } from '../../src/config/hosts.ts';
import { configOf, refusal, secret, served } from './invoke.ts';

describe('what is dangerous', () => {
  test('loopback is 127.0.0.0/8, ::1 and localhost', () => {
    const local = [
      '127.0.0.1',
      '127.255.0.9',
      '::1',
      '0:0:0:0:0:0:0:1',
      '::ffff:127.0.0.1',
      'localhost',
      'LOCALHOST',
    ];
    const remote = [
      '0.0.0.0',
      '::',
      '128.0.0.1',
      '10.0.0.1',
      '::2',
      '127.0.0.1.example.com',
      'localhost.example.com',
    ];
    expect(local.filter((host) => !isLoopback(host))).toEqual([]);
    expect(remote.filter(isLoopback)).toEqual([]);
  });

  const noSecret = 'give --auth-secret (at least 32 bytes) or --auth-jwks-url, or accept it with --insecure';
  const noTls =
    'is refused: give --tls-cert and --tls-key, or a loopback address such as 127.0.0.1, or accept it with --insecure';
  const jwks = '--auth-jwks-url=https://keys.example.com/jwks';
  const claims = ['--auth-issuer=i', '--auth-audience=a'];
  test.each([
    [['--host=0.0.0.0'], `--host 0.0.0.0 without an authentication setting is refused: ${noSecret}`],
    [['--host=::', `--auth-secret=${secret}`], `--host :: without TLS ${noTls}`],
    [
      ['--host=10.0.0.1', '--no-auth'],
      '--no-auth with --host 10.0.0.1 (everybody on the network is admin) is refused: give --auth-secret or --auth-jwks-url instead, or accept it with --insecure',
    ],
    [
      ['--db-host=db.example.com'],
      '--db-host outside loopback without --encryption-keys is refused: give id:base64(32 bytes), or accept it with --insecure',
    ],
    ...[[], ['--db-host=localhost'], ['--db-host=localhost', '--db-sslmode=disable']].map(
      (database): [string[], string] => [
        ['--pooler-host=pooler.example.com', ...database],
        '--pooler-host outside loopback with --db-sslmode disable (leases would send data in plain text) is refused: give --db-sslmode verify-full, and PgBouncer a certificate, or accept it with --insecure',
      ],
    ),
    [
      ['--redis-url=redis://redis.example.com'],
      '--redis-url outside loopback without TLS is refused: take a rediss:// address, or accept it with --insecure',
    ],
    [
      ['--cors-origin=*'],
      '--cors-origin * (pages of every site) is refused: list origins such as https://app.example.com, or accept it with --insecure',
    ],
    [
      ['--auth-jwks-url=http://keys.example.com/jwks', ...claims],
      '--auth-jwks-url outside loopback without TLS (whoever is on the way can sign tokens) is refused: take an https:// address, or accept it with --insecure',
    ],
    [
      [jwks, '--auth-audience=a'],
      "--auth-jwks-url without --auth-issuer is refused: give what the tokens' claim iss is, or accept it with --insecure",
    ],
    [
      [jwks, '--auth-issuer=i'],
      "--auth-jwks-url without --auth-audience (tokens for other services are good here) is refused: give what the tokens' claim aud has for this service, or accept it with --insecure",
    ],
    [['--host=10.0.0.1', jwks, ...claims], `--host 10.0.0.1 without TLS ${noTls}`],
  ])('%j is refused', (argv, line) => {
    expect(refusal(argv)).toBe(line);
    expect(served([...argv, '--insecure']).warnings).not.toEqual([]);
  });

  test('a database of DATABASE_URL is refused like one of --db-host', () => {
    expect(refusal([], { DATABASE_URL: 'postgres://u:p@db.example.com/d' })).toContain(
      '--db-host outside loopback',
    );
  });

  test('a pooler on this machine, and one that leases reach by TLS, are taken as they are', () => {
    for (const argv of [
      ['--pooler-port=6433'],
      ['--pooler-host=::1', '--db-host=localhost'],
      ['--pooler-host=pooler.example.com', '--db-host=localhost', '--db-sslmode=require'],
      ['--pooler-host=pooler.example.com', '--db-sslmode=verify-full'],
    ]) {
      expect(served(argv).warnings).toEqual([]);
    }
  });

  test('with --insecure each of them is a warning', () => {
    const argv = ['--host=0.0.0.0', '--db-host=10.0.0.2', '--redis-url=redis://10.0.0.3', '--cors-origin=*'];
    const { config, warnings } = served([...argv, '--insecure']);
    expect(warnings).toEqual([
      '--insecure accepts --host 0.0.0.0 without an authentication setting',
      '--insecure accepts --host 0.0.0.0 without TLS',
      '--insecure accepts --db-host outside loopback without --encryption-keys',
      '--insecure accepts --redis-url outside loopback without TLS',
      '--insecure accepts --cors-origin * (pages of every site)',
    ]);
    expect(config).toMatchObject({
      insecure: true,
      authentication: { kind: 'generated' },
      encryptionKeys: null,
      corsOrigins: ['*'],
    });
  });

  test('--insecure with nothing dangerous warns of nothing, and lifts no other refusal', () => {
    expect(served(['--insecure']).warnings).toEqual([]);
    expect(refusal(['--insecure', '--port=x'])).toContain('--port takes');
  });

  test('keys from this machine, and keys by TLS, are taken as they are', () => {
    for (const url of ['http://localhost:1/jwks', 'http://[::1]/jwks', 'https://keys.example.com/jwks?a=b']) {
      const { config, warnings } = served([`--auth-jwks-url=${url}`, ...claims]);
      expect(config.authentication).toEqual({ kind: 'jwks', url, issuer: 'i', audience: 'a' });
      expect(warnings).toEqual([]);
    }
  });

  test.each([
    [[jwks, `--auth-secret=${secret}`], '--auth-jwks-url takes no --auth-secret beside it: give one of them'],
    [[jwks, '--no-auth'], '--no-auth takes no --auth-jwks-url beside it: give one of them'],
    [['--auth-issuer=i'], '--auth-issuer takes --auth-jwks-url or --auth-secret beside it: give one of them'],
    [
      ['--auth-audience=a', '--no-auth'],
      '--auth-audience takes --auth-jwks-url or --auth-secret beside it: give one of them',
    ],
  ])('%j is a contradiction, also with --insecure', (argv, line) => {
    expect(refusal(argv)).toBe(line);
    expect(refusal([...argv, '--insecure'])).toBe(line);
  });

  test('--no-auth beside --auth-secret is a contradiction', () => {
    const line = '--no-auth takes no --auth-secret beside it: give one of them';
    expect(refusal(['--no-auth', `--auth-secret=${secret}`])).toBe(line);
    expect(refusal(['--no-auth', '--insecure'], { TMS_AUTH_SECRET: secret })).toBe(line);
    expect(configOf(['--no-auth=false', `--auth-secret=${secret}`]).authentication.kind).toBe('secret');
  });
});
