import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { scramVerifier } from '../../src/workers/scram.ts';
import { ownershipMark } from '../../src/workers/tenant-names.ts';
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
      app = parts.use(await startTenantApp({ database: parts.use(await cluster.emptyDatabase()) }));
      pooler = parts.use(
        await startPgbouncer(app.app.administrator, { max_db_connections: 1, query_wait_timeout: 2 }),
      );
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
        expect((await backends()).length).toBeLessThanOrEqual(1);
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
      await app.core.tenants.suspend(tenant.id);
      expect((await settled(app, tenant.id)).tenant.status).toBe('INACTIVE');
      await expect(session.query('SELECT FROM users')).rejects.toThrow();
      await expect(throughPooler(tenant)).rejects.toThrow('no such user');
      expect((await backends()).filter(({ usename }) => usename === tenant.names.app)).toEqual([]);
      await app.core.tenants.resume(tenant.id);
      expect((await settled(app, tenant.id)).tenant.status).toBe('ACTIVE');
      await using again = await eventually(() => throughPooler(tenant), deadlineMs);
      await again.query('SELECT FROM users');
    });

    test('sends a client away that does nothing while its tenant is suspended, at its next statement', async () => {
      const tenant = await app.provision();
      await using session = await throughPooler(tenant);
      await session.query('SELECT FROM users');
      await app.core.tenants.suspend(tenant.id);
      await settled(app, tenant.id);
      await expect(session.query('SELECT FROM users')).rejects.toThrow();
      await app.core.tenants.resume(tenant.id);
      await settled(app, tenant.id);
      // Not even now: the connection is gone.
      await expect(session.query('SELECT FROM users')).rejects.toThrow();
    });

    test('lets a lease in as long as it lasts', async () => {
      const tenant = await app.provision();
      const user = `${tenant.names.schema}_l1`;
      await app.administer(
        `CREATE ROLE ${user} LOGIN CONNECTION LIMIT 1 PASSWORD '${await scramVerifier('leased')}' VALID UNTIL 'infinity';
         COMMENT ON ROLE ${user} IS '${ownershipMark(app.registryId, tenant.id)}'`,
      );
      const login = () => connect({ ...app.app.database, ...place(), user, password: 'leased' });
      {
        // More clients than the role may have connections.
        await using first = await login();
        await using second = await login();
        expect([
          await first.query('SELECT session_user::text AS who'),
          await second.query('SELECT session_user::text AS who'),
        ]).toEqual([[{ who: user }], [{ who: user }]]);
      }
      await app.administer(`ALTER ROLE ${user} VALID UNTIL 'yesterday'`);
      await expect(login()).rejects.toThrow('no such user');
      await app.administer(`DROP ROLE ${user}`);
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
