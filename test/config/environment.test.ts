import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { configOf, directory, key, refusal, secret, sql } from './invoke.ts';

describe('environment', () => {
  test('a flag wins over TMS_, that over REDIS_URL and DATABASE_URL, those over the default', () => {
    const urls = { DATABASE_URL: 'postgres://u:p@localhost:1/d', REDIS_URL: 'redis://localhost/1' };
    const variables = { ...urls, TMS_DB_PORT: '2', TMS_DB_USER: 'v', TMS_REDIS_URL: 'redis://localhost/2' };
    const config = configOf(['--db-port=3', '--redis-url=redis://localhost/3'], variables);
    expect(config.redisUrl).toBe('redis://localhost/3');
    expect(config.database).toEqual({
      kind: 'external',
      settings: { host: 'localhost', port: 3, user: 'v', password: 'p', database: 'd', ssl: false },
    });
    expect(configOf([], variables).redisUrl).toBe('redis://localhost/2');
    expect(configOf([], urls).redisUrl).toBe('redis://localhost/1');
  });

  test('every setting has its variable', () => {
    const documents = join(directory, 'documents.json');
    writeFileSync(documents, '{"a":"{ __typename }"}');
    const config = configOf([], {
      TMS_PORT: '1',
      TMS_HTTP_PORT: '2',
      TMS_HOST: '0.0.0.0',
      TMS_ROLE: 'worker',
      TMS_PROCESSES: '5',
      TMS_DB_HOST: 'db.example.com',
      TMS_DB_PORT: '3',
      TMS_DB_USER: 'u',
      TMS_DB_PASS: 'p',
      TMS_DB_NAME: 'd',
      TMS_DB_SSLMODE: 'require',
      TMS_POOLER_HOST: 'pooler.example.com',
      TMS_POOLER_PORT: '4',
      TMS_REDIS_URL: 'rediss://u:p@redis.example.com:6380/2',
      TMS_DATA_DIR: '/data',
      TMS_AUTH_SECRET: secret,
      TMS_AUTH_ISSUER: 'https://issuer.example.com',
      TMS_AUTH_AUDIENCE: 'tenants',
      TMS_NO_AUTH: 'false',
      TMS_ENCRYPTION_KEYS: `a:${key}`,
      TMS_RESERVED_SUBDOMAINS: 'one, Two',
      TMS_TIER_CONNECTIONS: 'gold=9',
      TMS_WORKER_CONCURRENCY: '64',
      TMS_CORS_ORIGIN: 'https://a.example.com',
      TMS_RATE_LIMIT: '5',
      TMS_TRUSTED_DOCUMENTS: documents,
      TMS_INSECURE: 'true',
      TMS_LOG_LEVEL: 'silent',
    });
    expect(config).toEqual({
      host: '0.0.0.0',
      port: 1,
      httpPort: 2,
      role: 'worker',
      processes: 5,
      database: {
        kind: 'external',
        settings: {
          host: 'db.example.com',
          port: 3,
          user: 'u',
          password: 'p',
          database: 'd',
          ssl: { secureContext: expect.anything(), rejectUnauthorized: false },
        },
      },
      pooler: { host: 'pooler.example.com', port: 4 },
      redisUrl: 'rediss://u:p@redis.example.com:6380/2',
      redisTls: { secureContext: expect.anything() },
      dataDir: '/data',
      tenantMigrations: sql(),
      tls: null,
      authentication: {
        kind: 'secret',
        secret: new TextEncoder().encode(secret),
        issuer: 'https://issuer.example.com',
        audience: 'tenants',
      },
      encryptionKeys: [{ id: 'a', key: new Uint8Array(32).fill(7) }],
      reservedSubdomains: new Set(['one', 'two']),
      tierConnections: new Map([['gold', 9]]),
      workerConcurrency: 64,
      corsOrigins: ['https://a.example.com'],
      rateLimit: 5,
      trustedDocuments: new Map([['a', '{ __typename }']]),
      insecure: true,
      logLevel: 'silent',
      production: false,
    });
  });

  test.each([
    ['1', 'none'],
    ['true', 'none'],
    ['0', 'generated'],
    ['false', 'generated'],
    ['', 'generated'],
  ])('TMS_NO_AUTH=%s means authentication %s', (TMS_NO_AUTH, kind) => {
    expect(configOf([], { TMS_NO_AUTH }).authentication.kind).toBe(kind);
  });

  test('an empty variable counts as not set', () => {
    const empty = {
      TMS_PORT: '',
      TMS_DB_HOST: '',
      TMS_DB_PASS_FILE: '',
      DATABASE_URL: '',
      REDIS_URL: '',
      TMS_ODD: '',
    };
    expect(configOf([], empty)).toEqual(configOf([]));
  });

  test.each([
    [{ TMS_PROT: '1' }, '"TMS_PROT" is no variable of this service: did you mean TMS_PORT? see --help'],
    [{ TMS_WHATEVER_THIS_IS: '1' }, '"TMS_WHATEVER_THIS_IS" is no variable of this service: see --help'],
    [{ TMS_PORT_FILE: 'x' }, '"TMS_PORT_FILE" is no variable of this service: see --help'],
    [{ TMS_HELP: '1' }, '"TMS_HELP" is no variable of this service: see --help'],
    [{ TMS_NO_AUTH: 'yes' }, '--no-auth (TMS_NO_AUTH) takes nothing, true or false, not "yes"'],
    [{ TMS_PORT: 'x' }, '--port (TMS_PORT) takes a port from 0 (any free one) to 65535, not "x"'],
    [
      { TMS_AUTH_SECRET: secret, TMS_AUTH_SECRET_FILE: 'x' },
      '--auth-secret takes TMS_AUTH_SECRET or TMS_AUTH_SECRET_FILE from the environment, not both',
    ],
  ])('%j is refused', (env, line) => {
    expect(refusal([], env)).toBe(line);
  });

  test('TMS_TEST_ variables are left to the tests', () => {
    expect(configOf([], { TMS_TEST_REDIS_URL: 'redis://localhost' })).toEqual(configOf([]));
  });

  test.each(['', '\n', '\r\n'])('a secret comes from a file, without the newline at its end (%j)', (end) => {
    const at = (name: string, text: string) => {
      const path = join(directory, name);
      writeFileSync(path, `${text}${end}`);
      return path;
    };
    const config = configOf(['--db-host=localhost'], {
      TMS_DB_PASS_FILE: at('pass', ' p w '),
      TMS_REDIS_URL_FILE: at('redis', 'redis://localhost:1'),
      TMS_AUTH_SECRET_FILE: at('secret', secret),
      TMS_ENCRYPTION_KEYS_FILE: at('keys', `a:${key}`),
    });
    expect(config.database).toMatchObject({ settings: { password: ' p w ' } });
    expect(config.redisUrl).toBe('redis://localhost:1');
    expect(config.authentication).toMatchObject({
      kind: 'secret',
      secret: new TextEncoder().encode(secret),
    });
    expect(config.encryptionKeys).toEqual([{ id: 'a', key: new Uint8Array(32).fill(7) }]);
  });

  test('a secret of a flag leaves the file alone', () => {
    const config = configOf(['--auth-secret', secret], { TMS_AUTH_SECRET_FILE: '/missing' });
    expect(config.authentication.kind).toBe('secret');
  });

  test('a file that cannot be used is refused with its variable and path', () => {
    const missing = join(directory, 'missing');
    const binary = join(directory, 'binary');
    const empty = join(directory, 'empty');
    writeFileSync(binary, new Uint8Array(40).fill(0xff));
    writeFileSync(empty, '\n');
    const line = (path: string) => refusal([], { TMS_AUTH_SECRET_FILE: path });
    const start = '--auth-secret (TMS_AUTH_SECRET_FILE) takes';
    expect(line(missing)).toBe(`${start} a readable file, not "${missing}": ENOENT`);
    expect(line(directory)).toBe(`${start} a readable file, not "${directory}": EISDIR`);
    expect(line('a\0b')).toBe(`${start} a readable file, not "a\\u0000b": ERR_INVALID_ARG_VALUE`);
    expect(line(binary)).toBe(`${start} a file of UTF-8 text, not "${binary}"`);
    expect(line(empty)).toBe(`${start} at least 32 bytes; its value is empty`);
  });
});
