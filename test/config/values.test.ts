import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { connectionsFor } from '../../src/config/tier-connections.ts';
import type { Config } from '../../src/config.ts';
import { configOf, directory, refusal } from './invoke.ts';

describe('values', () => {
  const accepted: readonly (readonly [string, Partial<Config>])[] = [
    ['--port=0', { port: 0 }],
    ['--port=65535', { port: 65535 }],
    ['--host=localhost', { host: 'localhost' }],
    ['--host=127.9.9.9', { host: '127.9.9.9' }],
    ['--host=::1', { host: '::1' }],
    ['--host=[::1]', { host: '::1' }],
    ['--processes=64', { processes: 64 }],
    ['--worker-concurrency=1', { workerConcurrency: 1 }],
    ['--worker-concurrency=64', { workerConcurrency: 64 }],
    ['--rate-limit=0', { rateLimit: 0 }],
    ['--log-level=trace', { logLevel: 'trace' }],
    ['--data-dir=some/where', { dataDir: resolve('some/where') }],
    ['--redis-url=redis://localhost', { redisUrl: 'redis://localhost' }],
    ['--redis-url=redis://:p%40@[::1]:1/15', { redisUrl: 'redis://:p%40@[::1]:1/15' }],
    ['--redis-url=rediss://r.example.com', { redisUrl: 'rediss://r.example.com' }],
    ['--reserved-subdomains=A, b-1 ,a', { reservedSubdomains: new Set(['a', 'b-1']) }],
    ['--tier-connections=premium=1000', { tierConnections: new Map([['premium', 1000]]) }],
    [
      '--tier-connections= gold = 7 ,standard=1,a=b=2',
      {
        tierConnections: new Map([
          ['gold', 7],
          ['standard', 1],
          ['a=b', 2],
        ]),
      },
    ],
    ['--cors-origin=HTTPS://A.example.com:443', { corsOrigins: ['https://a.example.com'] }],
    [
      '--cors-origin=http://localhost:3000, https://b.example.com,http://localhost:3000',
      { corsOrigins: ['http://localhost:3000', 'https://b.example.com'] },
    ],
    ['--cors-origin=app://local', { corsOrigins: ['app://local'] }],
  ];
  test.each(accepted)('%s is accepted', (argument, part) => {
    expect(configOf([argument])).toMatchObject(part);
  });

  const port = 'takes a port from 0 (any free one) to 65535';
  const redis = '--redis-url takes redis://[user:password@]host[:port][/number] or the same with rediss://;';
  const origins =
    '--cors-origin takes origins such as https://app.example.com, comma separated, without a path,';
  const tiers = '--tier-connections takes tier=number, comma separated, numbers from 1 to 1000;';
  const jwks = '--auth-jwks-url takes an https:// address of a JSON Web Key Set, without user and password;';
  const levels = 'trace, debug, info, warn, error, fatal or silent';
  test.each([
    ['--port=', `--port ${port}; its value is empty`],
    ['--port=65536', `--port ${port}, not "65536"`],
    ['--port=-1', `--port ${port}, not "-1"`],
    ['--port=1.5', `--port ${port}, not "1.5"`],
    ['--port=1e3', `--port ${port}, not "1e3"`],
    ['--port=0x1', `--port ${port}, not "0x1"`],
    ['--port= 1', `--port ${port}, not " 1"`],
    ['--http-port=grpc', `--http-port ${port}, not "grpc"`],
    ['--db-port=0', '--db-port takes a port from 1 to 65535, not "0"'],
    ['--pooler-port=0', '--pooler-port takes a port from 1 to 65535, not "0"'],
    ['--pooler-host=a b', '--pooler-host takes a host name or an IP address, not "a b"'],
    ['--host=a b', '--host takes an IP address or a host name, not "a b"'],
    ['--host=256.0.0.1', '--host takes an IP address or a host name, not "256.0.0.1"'],
    ['--host=0', '--host takes an IP address or a host name, not "0"'],
    ['--host=http://a', '--host takes an IP address or a host name, not "http://a"'],
    [`--host=${'a.'.repeat(130)}a`, `--host takes an IP address or a host name, not "${'a.'.repeat(30)}…"`],
    ['--db-host=/run/postgresql', '--db-host takes a host name or an IP address, not "/run/postgresql"'],
    ['--role=both', '--role takes all, api or worker, not "both"'],
    [
      `--db-user=${'é'.repeat(32)}`,
      `--db-user takes a role name of at most 63 bytes, not "${'é'.repeat(32)}"`,
    ],
    ['--db-name=a\nb', '--db-name takes a database name of at most 63 bytes, not "a\\nb"'],
    ['--db-pass=a\0b', '--db-pass takes a password without control characters'],
    ['--redis-url=localhost:6379', `${redis} that is no such address`],
    ['--redis-url=http://localhost', `${redis} that is no such address`],
    ['--redis-url=redis://a b', `${redis} that is no such address`],
    ['--redis-url= redis://a', `${redis} that is no such address`],
    ['--redis-url=redis://', `${redis} its host is no host name or IP address`],
    ['--redis-url=redis://localhost/x', `${redis} its path is no database number`],
    ['--redis-url=redis://localhost?a=1', `${redis} query parameters and fragments are not supported`],
    ['--redis-url=redis://localhost#a', `${redis} query parameters and fragments are not supported`],
    ['--redis-url=redis://:%zz@localhost', `${redis} its user or password is not percent-encoded correctly`],
    ['--auth-jwks-url=keys.example.com', `${jwks} that is no such address`],
    ['--auth-jwks-url=file:///etc/keys', `${jwks} that is no such address`],
    ['--auth-jwks-url=https://user:pass@keys.example.com', `${jwks} it has a user or a password`],
    ['--auth-jwks-url=https://a b', `${jwks} that is no such address`],
    [
      '--auth-issuer=a\0b',
      '--auth-issuer takes a text of at most 1000 characters, as it stands in the claim iss, not "a\\u0000b"',
    ],
    [
      '--auth-audience=',
      '--auth-audience takes a text of at most 1000 characters, as it stands in the claim aud; its value is empty',
    ],
    ['--auth-secret=short', '--auth-secret takes at least 32 bytes; it has 5'],
    ['--processes=0', '--processes takes a number from 1 to 64, not "0"'],
    ['--processes=65', '--processes takes a number from 1 to 64, not "65"'],
    ['--worker-concurrency=0', '--worker-concurrency takes a number from 1 to 64, not "0"'],
    ['--worker-concurrency=65', '--worker-concurrency takes a number from 1 to 64, not "65"'],
    ['--rate-limit=-1', '--rate-limit takes a number from 0 (off) to 1000000, not "-1"'],
    ['--log-level=loud', `--log-level takes ${levels}, not "loud"`],
    ['--reserved-subdomains=a,,b', '--reserved-subdomains takes DNS labels, comma separated, not "a,,b"'],
    ['--reserved-subdomains=a_b', '--reserved-subdomains takes DNS labels, comma separated, not "a_b"'],
    ['--tier-connections=standard', `${tiers} entry 1 is not of that form`],
    ['--tier-connections==5', `${tiers} entry 1 is not of that form`],
    ['--tier-connections=a=1,', `${tiers} entry 2 is not of that form`],
    ['--tier-connections=a=1,b=-1', `${tiers} entry 2 is not of that form`],
    [`--tier-connections=${'a'.repeat(51)}=1`, `${tiers} entry 1 is not of that form`],
    ['--tier-connections=a=0', `${tiers} entry 1 has a number outside of 1 to 1000`],
    ['--tier-connections=a=1001', `${tiers} entry 1 has a number outside of 1 to 1000`],
    ['--tier-connections=a=1, a=2', `${tiers} entry 2 repeats the tier of an earlier one`],
    ['--cors-origin=a.example.com', `${origins} not "a.example.com"`],
    ['--cors-origin=http://a/', `${origins} not "http://a/"`],
    ['--cors-origin=http://a?b', `${origins} not "http://a?b"`],
    ['--cors-origin=http://a:99999', `${origins} not "http://a:99999"`],
    ['--cors-origin=http://*.a', `${origins} not "http://*.a"`],
    ['--cors-origin=null', `${origins} not "null"`],
    ['--insecure=maybe', '--insecure takes nothing, true or false, not "maybe"'],
    ['--data-dir=a\0b', '--data-dir takes a directory, which is made when it is missing, not "a\\u0000b"'],
    ['--port=4000', '--port and --http-port take two different ports, not 4000 for both'],
  ])('%j is refused', (argument, line) => {
    expect(refusal([argument])).toBe(line);
  });

  test.each([
    ['standard=5', [5, 5]],
    ['gold=7', [7, 5]],
    ['gold=7,standard=2', [7, 2]],
  ])('with --tier-connections=%s, gold and a tier that is not listed get %j', (text, expected) => {
    const connections = connectionsFor(configOf([`--tier-connections=${text}`]).tierConnections);
    expect(['gold', 'silver'].map(connections)).toEqual(expected);
  });

  test('both ports may be any free one', () => {
    expect(configOf(['--port=0', '--http-port=0'])).toMatchObject({ port: 0, httpPort: 0 });
  });

  test('a secret is measured in bytes, not characters', () => {
    expect(configOf([`--auth-secret=${'é'.repeat(16)}`]).authentication.kind).toBe('secret');
    expect(refusal([`--auth-secret=${'e'.repeat(31)}`])).toContain('at least 32 bytes; it has 31');
  });

  test.each([
    ['{"a":"{ __typename }"}', null],
    ['{}', null],
    [null, 'it cannot be read'],
    ['{', 'it is not of that form'],
    ['["{ __typename }"]', 'it is not of that form'],
    ['{"a":1}', 'it is not of that form'],
    ['{"a":""}', 'it is not of that form'],
  ])('trusted documents of %j: %j', (content, complaint) => {
    const file = join(directory, content === null ? 'missing.json' : 'documents.json');
    if (content !== null) writeFileSync(file, content);
    const argument = `--trusted-documents=${file}`;
    if (complaint === null)
      expect(configOf([argument]).trustedDocuments).toEqual(
        new Map(Object.entries(JSON.parse(content ?? ''))),
      );
    else
      expect(refusal([argument])).toBe(
        `--trusted-documents takes a readable JSON file {"id": "document", …}; ${complaint}`,
      );
  });

  test('a data directory may be missing but is nothing else', () => {
    const file = join(directory, 'file');
    writeFileSync(file, '');
    expect(configOf(['--data-dir', join(directory, 'new')]).dataDir).toBe(join(directory, 'new'));
    expect(refusal(['--data-dir', file])).toBe(
      `--data-dir takes a directory, which is made when it is missing, not "${file}"`,
    );
    expect(refusal(['--data-dir', `/${'x'.repeat(5000)}`])).toContain('--data-dir takes a directory');
  });

  test('tenant migrations are a directory that is there', () => {
    const file = join(directory, 'file.sql');
    writeFileSync(file, '');
    for (const path of [file, join(directory, 'nowhere'), 'a\0b']) {
      expect(refusal(['--tenant-migrations', path])).toContain(
        '--tenant-migrations takes a readable directory, not',
      );
    }
  });
});
