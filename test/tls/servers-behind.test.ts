import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withCancellation } from '../../src/core/cancellation.ts';
import { editor, newTenant } from '../core/core-app.ts';
import { all } from '../grpc/grpc-client.ts';
import { lockTenant } from '../grpc/tenant-lock.ts';
import { hold } from '../pools/pools-bed.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestAuthority, opensslMissing, type TestAuthority } from '../support/certificates.ts';
import { asAdministrator } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { databaseArguments, runToEnd } from '../support/process.ts';
import {
  type EncryptedPostgres,
  redisProgramMissing,
  startEncryptedPostgres,
  startEncryptedRedis,
} from './encrypted-servers.ts';

const missing = opensslMissing ?? redisProgramMissing;
if (missing !== null) console.warn(missing);

describe.skipIf(missing !== null)('PostgreSQL and Redis, both with TLS alone,', () => {
  let parts: AsyncDisposableStack;
  let authority: TestAuthority;
  let stranger: TestAuthority;
  let postgres: EncryptedPostgres;
  let redisPort: number;

  beforeAll(async () => {
    parts = new AsyncDisposableStack();
    authority = parts.use(await createTestAuthority());
    stranger = parts.use(await createTestAuthority());
    const pair = await authority.issue('server');
    postgres = parts.use(await startEncryptedPostgres(pair));
    redisPort = await startEncryptedRedis(parts, pair);
  });
  afterAll(() => parts?.disposeAsync());

  const start = (worker: boolean): Promise<TestApp> =>
    startTestApp({
      database: postgres.database,
      worker,
      // In capitals it is the same scheme.
      redisUrl: `REDISS://localhost:${redisPort}`,
      timings: { rereadIntervalMs: 60_000 },
      args: ['--db-sslmode=verify-full', `--db-ca=${authority.cert}`, `--redis-ca=${authority.cert}`],
    });

  test('serve a tenant’s creation, its events, its connections and the end of a statement', async () => {
    await using api = await start(false);
    await using worker = await start(true);
    const { tenant } = await api.core.tenants.create(editor, newTenant());
    const events = await all(api.core.watch.one(tenant.id, 0));
    // The worker is another process to the API: only Redis brings them before the minute is over.
    expect(events.at(-1)).toMatchObject({ sequence: 13, tenantStatus: 'ACTIVE' });

    const held = await hold(worker.tenantPools, tenant.id);
    const controller = new AbortController();
    const sleeping = withCancellation(controller.signal, () =>
      worker.tenantPools.withTenant(tenant.id, ({ query }) => query('SELECT pg_sleep(600)')),
    );
    sleeping.catch(() => {});
    const sleepers = async () => {
      const { rowCount } = await asAdministrator(
        postgres.database.administrator,
        `SELECT FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'`,
      );
      return rowCount;
    };
    await eventually(async () => (await sleepers()) === 1, 10_000);

    const { rows } = await asAdministrator(
      postgres.database.administrator,
      `SELECT ssl, version, count(*)::int, count(*) FILTER (WHERE usename LIKE 'tenant%')::int AS tenants
         FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
         WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() GROUP BY 1, 2`,
    );
    expect(rows).toEqual([
      { ssl: true, version: expect.stringMatching(/^TLSv1\.[23]$/), count: expect.any(Number), tenants: 2 },
    ]);

    {
      await using lock = await lockTenant(postgres.database.settings, tenant.id);
      const renaming = withCancellation(controller.signal, () =>
        worker.core.tenants.update(editor, { id: tenant.id, name: 'Renamed' }),
      );
      renaming.catch(() => {});
      await eventually(async () => (await lock.waiting()) === 1, 10_000);
      controller.abort(new Error('nobody waits any more'));
      await expect(renaming).rejects.toThrow();
      await expect(sleeping).rejects.toThrow('Connection terminated');
      await eventually(async () => (await lock.waiting()) === 0, 10_000);
    }
    await eventually(async () => (await sleepers()) === 0, 10_000);
    await held.release();
    for (const app of [api, worker]) {
      const health = await fetch(`${app.httpUrl}/health`);
      expect(await health.json()).toMatchObject({ checks: { database: 'up', redis: 'up' } });
    }
  });

  const place = () => `PostgreSQL at 127.0.0.1:${postgres.database.settings.port}`;

  /** Why a start is refused; the process prints it and exits. */
  async function refusal(...args: string[]): Promise<unknown> {
    const started = startTestApp({ database: postgres.database, worker: false, args });
    return started.then(
      (app) => app[Symbol.asyncDispose](),
      (error) => error.message,
    );
  }

  test('are migrated and examined by the commands', async () => {
    const trusted = ['--db-sslmode=verify-full', `--db-ca=${authority.cert}`];
    const run = (name: string) =>
      runToEnd({
        command: ['npm', 'run', name, '--silent', '--'],
        args: [...databaseArguments(postgres.database.settings), ...trusted],
        env: { TMS_ENCRYPTION_KEYS: `other:${Buffer.alloc(32).toString('base64')}` },
      });
    // With another key than the registry's they come to where that matters, and no further.
    for (const { code, stderr } of await Promise.all([run('migrate'), run('doctor')])) {
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: expect.stringMatching(/^--encryption-keys: this registry's index key is wrapped under/),
      });
    }
  });

  test('refuse a plain connection', async () => {
    expect(await refusal('--db-sslmode=disable')).toBe(
      `--db-sslmode: ${place()} takes no plain connection; give verify-full`,
    );
  });

  test('are refused with a certificate of an authority that is not trusted', async () => {
    expect(await refusal('--db-sslmode=verify-full', `--db-ca=${stranger.cert}`)).toBe(
      `--db-ca: ${place()} has a certificate of an authority that is not trusted; give its PEM file`,
    );
    expect(await refusal('--db-sslmode=verify-full')).toMatch(/^--db-ca: .* not trusted; give its PEM file$/);
    await using api = await startTestApp({
      database: postgres.database,
      worker: false,
      redisUrl: `rediss://localhost:${redisPort}`,
      args: ['--db-sslmode=require', `--redis-ca=${stranger.cert}`],
    });
    expect(api.logged.join('')).toContain(
      'has no connection, its certificate is refused (--redis-ca, the host of --redis-url)',
    );
    const health = await fetch(`${api.httpUrl}/health`);
    expect(await health.json()).toMatchObject({ status: 'degraded', checks: { redis: 'down' } });
  });

  test('are refused with a certificate for another name, unless only encryption is required', async () => {
    await postgres.show(await authority.issue('other', { alternativeNames: ['DNS:db.example.com'] }));
    expect(await refusal('--db-sslmode=verify-full', `--db-ca=${authority.cert}`)).toBe(
      `--db-host: ${place()} has a certificate for another name; take a name that it holds`,
    );
    await using app = await startTestApp({
      database: postgres.database,
      worker: false,
      args: ['--db-sslmode=require'],
    });
    expect((await app.core.tenants.create(editor, newTenant())).tenant.status).toBe('PROVISIONING');
    await postgres.show(await authority.issue('server'));
  });
});
