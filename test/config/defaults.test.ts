import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readInvocation } from '../../src/config.ts';
import { configOf, key, served, sql } from './invoke.ts';

describe('defaults and deployments', () => {
  test('nothing given is an embedded database, loopback and generated secrets', () => {
    const { config, warnings } = served([]);
    const { reservedSubdomains, ...rest } = config;
    expect(rest).toEqual({
      host: '127.0.0.1',
      port: 50051,
      httpPort: 4000,
      role: 'all',
      processes: 1,
      database: { kind: 'embedded' },
      pooler: null,
      redisUrl: null,
      redisTls: null,
      dataDir: resolve('.data'),
      tenantMigrations: sql(),
      tls: null,
      authentication: { kind: 'generated' },
      encryptionKeys: null,
      tierConnections: new Map([['standard', 5]]),
      workerConcurrency: 4,
      corsOrigins: [],
      rateLimit: 2000,
      trustedDocuments: null,
      insecure: false,
      logLevel: 'info',
      production: false,
    });
    expect([...reservedSubdomains]).toEqual(expect.arrayContaining(['www', 'api', 'admin', 'app', 'mail']));
    expect(warnings).toEqual([]);
  });

  test('the start command of older deployments works word for word', () => {
    const config = configOf(
      '--port=50051 --db-host=localhost --db-port=5432 --db-user=admin --db-pass=securepassword --db-name=tenant_registry'.split(
        ' ',
      ),
    );
    expect(config).toMatchObject({ host: '127.0.0.1', port: 50051, httpPort: 4000, role: 'all' });
    expect(config.database).toEqual({
      kind: 'external',
      settings: {
        host: 'localhost',
        port: 5432,
        user: 'admin',
        password: 'securepassword',
        database: 'tenant_registry',
        ssl: false,
      },
    });
  });

  test('the default tenant migrations are the ones that come with the project', () => {
    const invocation = readInvocation([], {});
    const config = invocation.kind === 'serve' ? invocation.config : undefined;
    expect(config?.tenantMigrations).toBe(resolve(import.meta.dirname, '../../prisma/tenant'));
  });

  test('the configuration is frozen all the way down', () => {
    const config = configOf([
      '--db-host=localhost',
      '--encryption-keys',
      `a:${key}`,
      '--cors-origin=http://a',
    ]);
    const inner = [config, config.database, config.authentication, config.encryptionKeys, config.corsOrigins];
    const deeper = [
      ...(config.encryptionKeys ?? []),
      config.database.kind === 'external' && config.database.settings,
    ];
    expect([...inner, ...deeper].map((part) => Object.isFrozen(part))).not.toContain(false);
  });

  test.each([
    ['production', true],
    ['development', false],
    ['', false],
  ])('NODE_ENV=%s has production %s', (NODE_ENV, production) => {
    expect(configOf(['--data-dir=x'], { NODE_ENV }).production).toBe(production);
  });
});
