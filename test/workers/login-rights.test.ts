import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LeasedConnection } from '../../src/core/leases.ts';
import { openRegistry } from '../../src/db/open-registry.ts';
import { createTenantCredentials } from '../../src/db/tenant-credentials.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { startVersionCluster } from '../db/version-cluster.ts';
import { actor } from '../support/actor.ts';
import { createTestDatabase } from '../support/database.ts';
import { postgresVersions } from '../support/postgres-versions.ts';
import { connect, type Session, schemaOf, settled } from './worker-app.ts';

const encryptionKeys = [{ id: 'key', key: randomBytes(32) }];
const admin = actor('admin', 'an admin');

describe.each(postgresVersions)('$title', (version) => {
  describe.skipIf(!version.available)('a tenant’s login', () => {
    let parts: AsyncDisposableStack;
    let app: CoreApp;
    let administrator: Session;
    /** A tenant with two leases, and another one with one. */
    let tenantId = '';
    let schema = '';
    let other = '';
    let lease: LeasedConnection;
    let otherLease: LeasedConnection;
    /** Logged in as `…_app`, and as the first lease. */
    const sessions = new Map<string, Session>();

    beforeAll(async () => {
      parts = new AsyncDisposableStack();
      const database =
        version.version === '18'
          ? parts.use(await createTestDatabase())
          : parts.use(await parts.use(await startVersionCluster(version)).emptyDatabase());
      app = parts.use(await startCore({ database, config: { encryptionKeys } }));
      administrator = parts.use(await connect(database.administrator));
      tenantId = await provisioned();
      const otherId = await provisioned();
      [schema, other] = [schemaOf(tenantId), schemaOf(otherId)];
      lease = await take(tenantId);
      await take(tenantId);
      otherLease = await take(otherId);
      const { keyRing } = await openRegistry(database.settings, encryptionKeys);
      const password = await createTenantCredentials(keyRing)({ query: app.sql }, tenantId);
      sessions.set('app', await connect({ ...database.settings, user: `${schema}_app`, password }));
      sessions.set('l1', await logIn(lease));
      for (const session of sessions.values()) parts.use(session);
    }, 120_000);
    afterAll(() => parts?.disposeAsync());

    async function provisioned(): Promise<string> {
      const { tenant } = await app.core.tenants.create(editor, newTenant());
      expect((await settled(app, tenant.id)).tenant.status).toBe('ACTIVE');
      return tenant.id;
    }

    const take = (id: string) => app.core.leases.take(admin, { tenantId: id, dsn: '' });
    const logIn = ({ username, ...rest }: LeasedConnection) =>
      connect({ ...rest, user: username, ssl: false });

    function sessionOf(login: string): Session {
      const session = sessions.get(login);
      if (session === undefined) throw new Error(`nobody is logged in as ${login}`);
      return session;
    }

    /** Why each statement is refused: the SQLSTATEs, or 'done'. Those that do not belong together are rolled back. */
    async function refusals(session: Session, statements: readonly string[]): Promise<[string, unknown][]> {
      const found: [string, unknown][] = [];
      for (const statement of statements) {
        await session.query('BEGIN');
        const end = await session.query(statement).then(
          () => 'done',
          (error: unknown) => Reflect.get(Object(error), 'code'),
        );
        await session.query('ROLLBACK');
        found.push([statement, end]);
      }
      return found;
    }

    async function expectRefused(login: string, statements: readonly string[], code = '42501') {
      expect(await refusals(sessionOf(login), statements)).toEqual(
        statements.map((statement) => [statement, code]),
      );
    }

    /** The roles that it must not become. */
    const strangers = async () => {
      const groups = await administrator.query(
        `SELECT rolname FROM pg_roles WHERE rolname LIKE 'tms\\_%' AND shobj_description(oid, 'pg_authid') LIKE '%registry=%'`,
      );
      expect(groups.length > 0).toBe(version.version !== '15');
      return [
        schema,
        other,
        `${other}_rows`,
        `${other}_app`,
        `${other}_l1`,
        app.app.database.user,
        'postgres',
        'pg_read_all_data',
        'pg_signal_backend',
        ...groups.map(({ rolname }) => String(rolname)),
      ];
    };

    describe.each([
      ['app', () => [`${schema}_l1`, `${schema}_l2`]],
      ['l1', () => [`${schema}_app`, `${schema}_l2`]],
    ])('%s', (login, siblings) => {
      const me = () => `${schema}_${login}`;

      test('works on the rows of its tenant, in the schema alone', async () => {
        const session = sessionOf(login);
        expect(
          await session.query('SELECT session_user AS who, current_schemas(false)::text[] AS path'),
        ).toEqual([{ who: me(), path: [schema] }]);
        await session.query(`INSERT INTO users (email, display_name) VALUES ('${login}@b.example', 'A')`);
        await session.query(`INSERT INTO activity (action) VALUES ('tried')`);
        await session.query(`UPDATE users SET display_name = 'B'`);
        expect(await session.query('SELECT display_name FROM users')).toEqual([{ display_name: 'B' }]);
        await session.query('DELETE FROM users');
      });

      test('has no rights on the registry', async () => {
        const tables = await administrator.query(
          `SELECT oid::regclass::text AS name FROM pg_class
           WHERE relnamespace IN ('public'::regnamespace, 'graphile_worker'::regnamespace) AND relkind IN ('r', 'v', 'p')`,
        );
        expect(tables.length).toBeGreaterThan(12);
        for (const { name } of tables) {
          const table = String(name).includes('.') ? name : `public.${name}`;
          await expectRefused(login, [
            `SELECT FROM ${table}`,
            `DELETE FROM ${table}`,
            `TRUNCATE ${table}`,
            `LOCK ${table} IN ACCESS SHARE MODE`,
          ]);
        }
      });

      test('has no rights on other tenants', async () => {
        await expectRefused(login, [
          `TABLE ${other}.users`,
          `INSERT INTO ${other}.users (email, display_name) VALUES ('a@b.example', 'A')`,
          `UPDATE ${other}.users SET display_name = 'A'`,
          `DELETE FROM ${other}.users`,
          `SELECT '${other}.users'::regclass`,
          `SELECT nextval('${other}.activity_id_seq')`,
        ]);
      });

      test('makes, changes and drops nothing', async () => {
        await expectRefused(login, [
          'CREATE TABLE mine ()',
          'CREATE TABLE public.mine ()',
          'CREATE VIEW mine AS SELECT 1',
          'CREATE SEQUENCE public.mine',
          'CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
          'CREATE TYPE public.mine AS (one int)',
          'CREATE SCHEMA mine',
          'CREATE EXTENSION pgcrypto',
          'CREATE INDEX ON users (email)',
          'CREATE TRIGGER mine BEFORE DELETE ON users EXECUTE FUNCTION suppress_redundant_updates_trigger()',
          'ALTER TABLE users ADD COLUMN mine int',
          'ALTER TABLE users DISABLE TRIGGER ALL',
          `ALTER TABLE users OWNER TO ${me()}`,
          'TRUNCATE users',
          'DROP TABLE users',
          `DROP SCHEMA ${schema} CASCADE`,
          `ALTER SCHEMA ${schema} RENAME TO mine`,
          `ALTER SCHEMA ${schema} OWNER TO ${me()}`,
          `DROP OWNED BY ${schema}`,
          `REASSIGN OWNED BY ${schema} TO ${me()}`,
          `COPY users TO PROGRAM 'true'`,
          `COPY users FROM '/etc/passwd'`,
          `SELECT pg_read_file('/etc/passwd')`,
          'SELECT lo_creat(-1)',
          'SELECT lo_create(0)',
          `SELECT lo_from_bytea(0, 'mine')`,
          `SELECT lo_import('/etc/passwd')`,
          'TABLE pg_authid',
          `SET session_replication_role = 'replica'`,
        ]);
        // Not in a transaction anyway.
        await expect(sessionOf(login).query('CREATE DATABASE mine')).rejects.toMatchObject({ code: '42501' });
        await expect(
          sessionOf(login).query(`DROP DATABASE ${app.app.database.database}`),
        ).rejects.toMatchObject({ code: expect.stringMatching(/^(42501|55006)$/) });
      });

      test('becomes nobody outside of the tenant, and no other login of it', async () => {
        for (const role of [...(await strangers()), ...siblings()]) {
          await expectRefused(login, [
            `SET ROLE ${role}`,
            `SET SESSION AUTHORIZATION ${role}`,
            `GRANT ${role} TO ${me()}`,
          ]);
        }
        // The holder of the rights on rows, which is worth no more than itself.
        await sessionOf(login).query(`SET ROLE ${schema}_rows`);
        await expectRefused(login, [
          'CREATE TABLE mine ()',
          `ALTER ROLE ${schema}_app PASSWORD 'x'`,
          `GRANT ${schema}_rows TO ${other}_app`,
          `GRANT ${schema} TO ${me()}`,
          `COMMENT ON ROLE ${schema}_rows IS 'mine'`,
          `ALTER ROLE ${schema}_rows LOGIN`,
        ]);
        await sessionOf(login).query('RESET ROLE');
      });

      test('grants nothing', async () => {
        await expectRefused(login, [
          `GRANT ${schema}_rows TO ${other}_app`,
          `GRANT ${schema} TO ${other}_app`,
          `ALTER DEFAULT PRIVILEGES FOR ROLE ${schema} GRANT SELECT ON TABLES TO PUBLIC`,
        ]);
        // Here PostgreSQL warns, and grants nothing.
        for (const what of ['SELECT ON users', `USAGE ON SCHEMA ${schema}`]) {
          await sessionOf(login)
            .query(`GRANT ${what} TO ${other}_app, PUBLIC`)
            .catch(() => {});
        }
        expect(
          await administrator.query(
            `SELECT has_table_privilege('${other}_app', '${schema}.users', 'SELECT') AS reads,
                    has_schema_privilege('${other}_app', '${schema}', 'USAGE') AS uses`,
          ),
        ).toEqual([{ reads: false, uses: false }]);
      });

      test('touches no mark and no limit, its own neither', async () => {
        await expectRefused(login, [
          ...[schema, `${schema}_rows`, me(), ...siblings(), `${other}_app`].flatMap((role) => [
            `COMMENT ON ROLE ${role} IS 'mine'`,
            `ALTER ROLE ${role} LOGIN`,
            `ALTER ROLE ${role} NOLOGIN`,
            `ALTER ROLE ${role} CONNECTION LIMIT -1`,
            `ALTER ROLE ${role} VALID UNTIL 'infinity'`,
            `ALTER ROLE ${role} CREATEROLE`,
            `ALTER ROLE ${role} CREATEDB`,
            `ALTER ROLE ${role} SUPERUSER`,
            `ALTER ROLE ${role} BYPASSRLS`,
            `ALTER ROLE ${role} NOINHERIT`,
            `DROP ROLE ${role}`,
          ]),
          `COMMENT ON SCHEMA ${schema} IS 'mine'`,
          `COMMENT ON TABLE users IS 'mine'`,
          `CREATE ROLE mine`,
        ]);
      });

      test('changes no password and no setting but its own', async () => {
        await expectRefused(
          login,
          [schema, `${schema}_rows`, ...siblings(), `${other}_app`, `${other}_l1`, 'postgres'].flatMap(
            (role) => [
              `ALTER ROLE ${role} PASSWORD 'mine'`,
              `ALTER ROLE ${role} SET search_path TO public`,
              `ALTER ROLE ${role} IN DATABASE ${app.app.database.database} SET search_path TO public`,
              `ALTER ROLE ${role} RESET ALL`,
            ],
          ),
        );
        await expectRefused(login, [
          'ALTER ROLE ALL SET search_path TO public',
          `ALTER DATABASE ${app.app.database.database} SET search_path TO public`,
        ]);
        await expect(sessionOf(login).query('ALTER SYSTEM SET log_statement TO none')).rejects.toMatchObject({
          code: '42501',
        });
      });

      test('ends no session of others', async () => {
        const [{ pid } = {}] = await administrator.query('SELECT pg_backend_pid() AS pid');
        await expectRefused(login, [
          `SELECT pg_terminate_backend(${pid})`,
          `SELECT pg_cancel_backend(${pid})`,
        ]);
      });
    });

    test('lends itself to nobody beyond its lease', async () => {
      await using elsewhere = await logIn(otherLease);
      const read = () =>
        elsewhere.query(`SELECT count(*)::int FROM ${schema}.users`).then(
          ([row]) => row,
          (error: unknown) => Reflect.get(Object(error), 'code'),
        );
      const grant = `GRANT ${schema}_l1 TO ${other}_l1`;
      await expectRefused('l1', [grant, `${grant} WITH ADMIN OPTION`]);
      if (version.version === '15') {
        // As PostgreSQL 14 would let itself.
        await administrator.query(`${grant} WITH ADMIN OPTION`);
        expect(await read()).toEqual({ count: 0 });
      }
      await app.core.leases.release(admin, lease.id);
      expect(await read()).toBe('42501');
      expect(
        await administrator.query(
          `SELECT roleid::regrole::text AS role, member::regrole::text AS member FROM pg_auth_members
           WHERE member::regrole::text LIKE 'tenant\\_%' AND (roleid::regrole::text LIKE '${schema}%' OR member::regrole::text LIKE '${schema}%')
           ORDER BY member`,
        ),
      ).toEqual(
        ['app', 'l1', 'l2'].map((login) => ({ role: `${schema}_rows`, member: `${schema}_${login}` })),
      );
    });

    test('of a lease ends with a release, a suspension and a deletion, and is made no second time', async () => {
      const oid = () => administrator.query('SELECT oid FROM pg_roles WHERE rolname = $1', [`${schema}_l1`]);
      const before = await oid();
      const { tenants, leases } = app.core;
      const settle = () => settled(app, tenantId);
      for (const end of [
        ({ id }: LeasedConnection) => leases.release(admin, id),
        () => tenants.suspend(editor, tenantId).then(settle),
        () => tenants.remove(editor, tenantId).then(settle),
      ]) {
        if ((await settle()).tenant.status === 'INACTIVE')
          await tenants.resume(editor, tenantId).then(settle);
        const taken = await take(tenantId);
        expect(taken.username).toBe(`${schema}_l1`);
        await using session = await logIn(taken);
        await session.query('SELECT FROM users');
        await end(taken);
        await expect(session.query('SELECT FROM users')).rejects.toThrow();
        await expect(logIn(taken)).rejects.toMatchObject({ code: '28000' });
      }
      expect(await oid()).toEqual(before);
      expect(
        await app.sql('SELECT FROM leases WHERE tenant_id = $1 AND ended_at IS NULL', [tenantId]),
      ).toEqual([]);
    });
  });
});
