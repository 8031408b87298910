import { readFile } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { slotRestMs } from '../../src/config/pooler.ts';
import { createPool } from '../../src/db/pool.ts';
import { examine } from '../../src/doctor/doctor.ts';
import { ownershipMark } from '../../src/workers/tenant-names.ts';
import { editor } from '../core/core-app.ts';
import { startVersionCluster } from '../db/version-cluster.ts';
import { expectNoLeak } from '../pools/leak-test.ts';
import { eventually } from '../support/eventually.ts';
import { pgbouncerMissing, preparePooler, startPgbouncer, type TestPgbouncer } from '../support/pgbouncer.ts';
import { postgresVersions } from '../support/postgres-versions.ts';
import { type ProvisionedTenant, startTenantApp, type TenantApp } from '../support/tenant-app.ts';
import { connect, settled } from '../workers/worker-app.ts';

const deadlineMs = 10_000;

if (pgbouncerMissing !== null) test.skip(pgbouncerMissing, () => {});

describe.skipIf(pgbouncerMissing !== null).each(postgresVersions)('PgBouncer before $title', (version) => {
  describe.skipIf(!version.available)('as deploy/pgbouncer sets it up', () => {
    let parts: AsyncDisposableStack;
    let app: TenantApp;
    let pooler: TestPgbouncer;
    beforeAll(async () => {
      parts = new AsyncDisposableStack();
      const cluster = parts.use(await startVersionCluster(version));
      const database = parts.use(await cluster.emptyDatabase());
      pooler = parts.use(
        await startPgbouncer(database.administrator, { max_db_connections: 1, query_wait_timeout: 2 }),
      );
      const { host, port } = pooler;
      app = parts.use(await startTenantApp({ database, config: { pooler: { host, port } } }));
    }, 60_000);
    afterAll(() => parts?.disposeAsync());

    const place = () => ({ host: pooler.host, port: pooler.port });
    const throughPooler = (tenant: ProvisionedTenant, password = tenant.password) =>
      app.login(tenant, { ...place(), password });
    /** Sessions on the server that the pooler opened. */
    const backends = () =>
      app.administer(
        `SELECT pid, usename FROM pg_stat_activity
         WHERE datname = current_database() AND (usename ~ '^tenant_' OR usename = '${pooler.authUser.user}')`,
      );

    test('lets in tenants that came up after it started, and nothing leaks between two on one backend', async () => {
      const [one, other] = [await app.provision(), await app.provision()];
      const subject = (tenant: ProvisionedTenant) => ({
        names: tenant.names,
        user: tenant.names.app,
        login: () => throughPooler(tenant),
      });
      await expectNoLeak([subject(one), subject(other)], async () => {
        // The server takes a moment to see that the pooler has closed the other one's.
        await eventually(async () => (await backends()).length <= 1, deadlineMs);
      });
    });

    test('gives the clients of one login the same backend in turn, cleared of what the last one left', async () => {
      const tenant = await app.provision();
      await using first = await throughPooler(tenant);
      await using second = await throughPooler(tenant);
      const pid = 'SELECT pg_backend_pid() AS pid';
      const [left] = await first
        .query(`${pid}; SET search_path = public; SET statement_timeout = 1`)
        .then(() => first.query(pid));
      expect(
        await second.query(`${pid}, current_setting('statement_timeout') AS limit, current_schema AS schema`),
      ).toEqual([{ pid: left?.pid, limit: '0', schema: tenant.names.schema }]);
    });

    test('refuses a suspended tenant, ends what it has open, and lets it in when it is resumed', async () => {
      const tenant = await app.provision();
      await using session = await throughPooler(tenant);
      await session.query('BEGIN');
      await app.core.tenants.suspend(editor, tenant.id);
      expect((await settled(app, tenant.id)).tenant.status).toBe('INACTIVE');
      await expect(session.query('SELECT FROM users')).rejects.toThrow();
      await expect(throughPooler(tenant)).rejects.toThrow('no such user');
      expect((await backends()).filter(({ usename }) => usename === tenant.names.app)).toEqual([]);
      await app.core.tenants.resume(editor, tenant.id);
      expect((await settled(app, tenant.id)).tenant.status).toBe('ACTIVE');
      await using again = await eventually(() => throughPooler(tenant), deadlineMs);
      await again.query('SELECT FROM users');
    });

    test('sends a client away that does nothing while its tenant is suspended, at its next statement', async () => {
      const tenant = await app.provision();
      await using session = await throughPooler(tenant);
      await session.query('SELECT FROM users');
      await app.core.tenants.suspend(editor, tenant.id);
      await settled(app, tenant.id);
      await expect(session.query('SELECT FROM users')).rejects.toThrow();
      await app.core.tenants.resume(editor, tenant.id);
      await settled(app, tenant.id);
      // Not even now: the connection is gone.
      await expect(session.query('SELECT FROM users')).rejects.toThrow();
    });

    const lease = async (tenantId: string) => {
      const { id, username: user, ...rest } = await app.core.leases.take(editor, { tenantId, dsn: '' });
      const { host, port, database, password } = rest;
      return { id, settings: { host, port, database, user, password, ssl: false as const } };
    };

    test('is what leases name; their clients take turns on one connection, and are refused when it is over', async () => {
      const tenant = await app.provision();
      const { id, settings } = await lease(tenant.id);
      expect(settings).toMatchObject({ ...place(), user: `${tenant.names.schema}_l1` });
      await using first = await connect(settings);
      await using second = await connect(settings);
      const question = `SELECT session_user::text AS "user", pg_backend_pid() AS pid, current_schema AS schema`;
      const [answer] = await first.query(question);
      expect(answer).toMatchObject({ user: settings.user, schema: tenant.names.schema });
      expect(await second.query(question)).toEqual([answer]);
      await first.query('BEGIN');
      await first.query('SELECT FROM users');
      await app.core.leases.release(editor, id);
      await expect(first.query('SELECT FROM users')).rejects.toThrow();
      await expect(second.query('SELECT FROM users')).rejects.toThrow();
      await expect(connect(settings)).rejects.toThrow('no such user');
    });

    test('sends away a client that does nothing', async () => {
      const tenant = await app.provision();
      await using impatient = await startPgbouncer(app.app.administrator, { client_idle_timeout: 1 });
      const { id, settings } = await lease(tenant.id);
      const idle = new pg.Client({ ...settings, port: impatient.port });
      const errors: Error[] = [];
      idle.on('error', (error) => void errors.push(error));
      await idle.connect();
      await idle.query('SELECT FROM users');
      await app.core.leases.release(editor, id);
      await eventually(() => errors.some(({ message }) => message === 'client_idle_timeout'), deadlineMs);
    });

    test('gives one who kept the connection of a lease that is over nothing of the next one', async () => {
      const tenant = await app.provision();
      const { id, settings } = await lease(tenant.id);
      await using kept = await connect(settings);
      await kept.query('SELECT FROM users');
      await app.core.leases.release(editor, id);
      const next = await lease(tenant.id);
      expect(next.settings.user).not.toBe(settings.user);
      await using holder = await connect(next.settings);
      await holder.query('SELECT FROM users');
      await expect(kept.query('SELECT FROM users')).rejects.toThrow();
    });

    test('is found to be in order by the doctor, who goes through it', async () => {
      const tenant = await app.provision();
      const pool = createPool(app.app.database, { max: 2, name: 'doctor', onError: () => {} });
      try {
        const { registryId, keyRing } = app;
        const said: string[] = [];
        const visit = examine({
          ...{ pool, registryId, keyRing, server: app.app.database, pooler: place() },
          ...{ newestVersion: 2, tenantId: tenant.id, fix: false },
        });
        for await (const { kind } of visit) said.push(kind);
        expect(said).toEqual(['tenant']);
      } finally {
        await pool.end();
      }
    });

    test('keeps nobody for as long as a lease’s role rests', async () => {
      const ini = await readFile('deploy/pgbouncer/pgbouncer.ini', 'utf8');
      const seconds = ['client_idle_timeout', 'client_login_timeout', 'query_wait_timeout'].map((name) =>
        Number(new RegExp(`^${name} = ([0-9]+)$`, 'm').exec(ini)?.[1]),
      );
      expect(1000 * seconds.reduce((sum, each) => sum + each)).toBeLessThan(slotRestMs);
    });

    test('refuses a wrong password', async () => {
      const tenant = await app.provision();
      await expect(throughPooler(tenant, 'a guess')).rejects.toThrow('SASL authentication failed');
      await expect(throughPooler(tenant, '')).rejects.toThrow();
    });

    test('refuses the service’s role, the superuser and an owner, also with their passwords', async () => {
      const tenant = await app.provision();
      const { database, administrator } = app.app;
      for (const settings of [
        database,
        administrator,
        { ...database, user: tenant.names.owner, password: 'owner' },
      ]) {
        await expect(connect({ ...settings, ...place() })).rejects.toThrow('no such user');
      }
    });

    describe('the function that it asks', () => {
      const asked = async (login: string) => {
        await using session = await connect(pooler.authUser);
        return await session.query('SELECT login FROM pgbouncer.tenant_login($1)', [login]);
      };

      test('answers the verifier of a tenant’s login, and lets nobody else ask', async () => {
        const tenant = await app.provision();
        await using session = await connect(pooler.authUser);
        const [answer] = await session.query('SELECT * FROM pgbouncer.tenant_login($1)', [tenant.names.app]);
        const [stored] = await app.administer(
          `SELECT rolname AS login, rolpassword AS verifier FROM pg_authid WHERE rolname = '${tenant.names.app}'`,
        );
        expect(answer).toEqual(stored);
        const question = `SELECT FROM pgbouncer.tenant_login('${tenant.names.app}')`;
        await expect(app.sql(question)).rejects.toMatchObject({ code: '42501' });
        await using itself = await app.login(tenant);
        await expect(itself.query(question)).rejects.toMatchObject({ code: '42501' });
      });

      test.each<[string, (login: string, tenant: ProvisionedTenant) => string]>([
        ['may not log in', (login) => `ALTER ROLE ${login} NOLOGIN`],
        ['is no longer valid', (login) => `ALTER ROLE ${login} VALID UNTIL 'yesterday'`],
        ['has no password', (login) => `ALTER ROLE ${login} PASSWORD NULL`],
        ['is a superuser', (login) => `ALTER ROLE ${login} SUPERUSER`],
        ['may create roles', (login) => `ALTER ROLE ${login} CREATEROLE`],
        ['carries no mark', (login) => `COMMENT ON ROLE ${login} IS NULL`],
        [
          'carries the mark of another registry',
          (login, { id }) => `COMMENT ON ROLE ${login} IS '${ownershipMark(crypto.randomUUID(), id)}'`,
        ],
        [
          'carries a comment that is no mark, as its schema does',
          (login, { names }) => `COMMENT ON ROLE ${login} IS 'x'; COMMENT ON SCHEMA ${names.schema} IS 'x'`,
        ],
        ['has no schema in this database', (_, { names }) => `DROP SCHEMA ${names.schema} CASCADE`],
      ])('does not answer a login that %s', async (_, change) => {
        const tenant = await app.provision();
        const { app: login } = tenant.names;
        expect(await asked(login)).toEqual([{ login }]);
        await app.administer(change(login, tenant));
        expect(await asked(login)).toEqual([]);
      });

      test('does not answer names that are no login of a tenant', async () => {
        const { names } = await app.provision();
        const { user } = app.app.database;
        for (const name of [user, app.app.administrator.user, names.owner, `${names.app}x`, '', 'nobody']) {
          expect(await asked(name)).toEqual([]);
        }
      });

      test('is prepared again without harm, and taken back from who was there first', async () => {
        await app.administer(
          `ALTER SCHEMA pgbouncer OWNER TO ${app.app.database.user};
           ALTER FUNCTION pgbouncer.tenant_login(text) OWNER TO ${app.app.database.user}`,
        );
        await preparePooler(app.app.administrator, pooler.authUser);
        expect(
          await app.administer(
            `SELECT proowner = 'postgres'::regrole AS function, nspowner = 'postgres'::regrole AS schema, proacl::text AS acl
             FROM pg_proc JOIN pg_namespace ON pronamespace = pg_namespace.oid WHERE nspname = 'pgbouncer'`,
          ),
        ).toEqual([
          {
            function: true,
            schema: true,
            acl: `{postgres=X/postgres,${pooler.authUser.user}=X/postgres}`,
          },
        ]);
      });
    });
  });
});
