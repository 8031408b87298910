import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { createPool } from '../../src/db/pool.ts';
import { type DoctorOptions, examine } from '../../src/doctor/doctor.ts';
import { createReport } from '../../src/doctor/report.ts';
import { chiefPrefix, roleAdminMark, roleAdminPrefix } from '../../src/workers/role-admin.ts';
import { readTenantMigrations } from '../../src/workers/tenant-migrations.ts';
import { ownershipMark } from '../../src/workers/tenant-names.ts';
import { editor } from '../core/core-app.ts';
import { startVersionCluster } from '../db/version-cluster.ts';
import { postgresVersions } from '../support/postgres-versions.ts';
import { type ProvisionedTenant, startTenantApp, type TenantApp } from '../support/tenant-app.ts';
import { connect, settled } from '../workers/worker-app.ts';

describe.each(postgresVersions)('the doctor on $title', (version) => {
  describe.skipIf(!version.available)('says', () => {
    let parts: AsyncDisposableStack;
    let app: TenantApp;
    let options: Omit<DoctorOptions, 'fix' | 'tenantId'>;
    let tenant: ProvisionedTenant;
    beforeAll(async () => {
      parts = new AsyncDisposableStack();
      const cluster = parts.use(await startVersionCluster(version));
      app = parts.use(await startTenantApp({ database: parts.use(await cluster.emptyDatabase()) }));
      const { database } = app.app;
      const pool = createPool(database, { max: 2, name: 'doctor', onError: () => {} });
      parts.defer(() => pool.end());
      options = {
        pool,
        registryId: app.registryId,
        keyRing: app.keyRing,
        server: database,
        pooler: null,
        newestVersion: (await readTenantMigrations('prisma/tenant', [])).version,
      };
    }, 60_000);
    afterAll(() => parts?.disposeAsync());
    beforeEach(async () => {
      tenant = await app.provision();
    });

    /**
     * What it says of the tenant, or of all of them, its names being `T`, and whether all is well now.
     */
    async function visit(over: Partial<DoctorOptions> = {}): Promise<{ lines: string[]; well: boolean }> {
      const lines: string[] = [];
      const all = { ...options, fix: false, tenantId: tenant.id, ...over };
      const report = createReport(all.fix, (line) => lines.push(line));
      for await (const statement of examine(all)) report.tell(statement);
      const shown = lines
        .map((line) => line.replace(`tenant ${tenant.id} `, '').replace(/^\(\S+\): /, ''))
        .map((line) => line.replaceAll(tenant.names.schema, 'T').replaceAll(/\badmin\b/g, 'S'));
      return { lines: shown, well: report.end() };
    }

    const healthy = { lines: [], well: true };
    const of = (sql: string) => sql.replaceAll(/\bT(?=\b|_)/g, tenant.names.schema);
    const drift = (sql: string) => app.administer(of(sql));
    /** As the one who administers the tenant's roles. */
    const asRoleAdmin = async (sql: string) => {
      const [admin] = await drift(
        `SELECT member::regrole::text AS name FROM pg_auth_members WHERE roleid = 'T'::regrole AND admin_option`,
      );
      await drift(`${admin === undefined ? '' : `SET ROLE ${admin.name};`} ${sql}`);
    };

    /** Reported, mended when asked, and then no more. */
    async function expectMended(found: readonly string[]): Promise<void> {
      expect(await visit()).toEqual({ lines: found.map((line) => `${line}; --fix mends it`), well: false });
      expect(await visit({ fix: true })).toEqual({
        lines: found.map((line) => `${line}; mended`),
        well: true,
      });
      expect(await visit()).toEqual(healthy);
    }

    /** Reported, and nothing changes when it is to mend: this is somebody else's to do. */
    async function expectLeft(found: readonly string[]): Promise<void> {
      for (const fix of [false, true]) expect(await visit({ fix })).toEqual({ lines: found, well: false });
    }

    test('nothing of tenants that are as they should be: active, suspended, deleted', async () => {
      expect(await visit()).toEqual(healthy);
      await app.core.tenants.suspend(editor, tenant.id);
      await settled(app, tenant.id);
      expect(await visit()).toEqual(healthy);
      await app.core.tenants.remove(editor, tenant.id);
      await settled(app, tenant.id);
      expect(await visit()).toEqual(healthy);
      await app.core.tenants.restore(editor, tenant.id);
      await settled(app, tenant.id);
      expect(await visit({ fix: true })).toEqual(healthy);
    });

    test.each<[string, string, readonly string[]]>([
      ['an owner who may log in', 'ALTER ROLE T LOGIN', ['attributes: T may log in']],
      ['rights that may log in', 'ALTER ROLE T_rows LOGIN', ['attributes: T_rows may log in']],
      ['a login that is closed', 'ALTER ROLE T_app NOLOGIN', ['attributes: T_app may not log in']],
      [
        'a login that has run out',
        `ALTER ROLE T_app VALID UNTIL 'yesterday'`,
        ['attributes: T_app is no longer valid'],
      ],
      [
        'a login with few connections',
        'ALTER ROLE T_app CONNECTION LIMIT 2',
        ['attributes: T_app may have 2 connections only'],
      ],
      ['a role that makes roles', 'ALTER ROLE T_rows CREATEROLE', ['attributes: T_rows is CREATEROLE']],
      [
        'another search path',
        'ALTER ROLE T_app SET search_path = public',
        ['settings: the settings of T_app are search_path=public, not search_path=T'],
      ],
      [
        'another setting',
        `ALTER ROLE T_app SET statement_timeout = 5`,
        ['settings: the settings of T_app are search_path=T; statement_timeout=5, not search_path=T'],
      ],
      [
        'a missing right on the schema',
        'REVOKE USAGE ON SCHEMA T FROM T_rows',
        ['grants: T_rows lacks USAGE on SCHEMA T'],
      ],
      [
        'missing rights on a table',
        'REVOKE INSERT, DELETE ON T.users FROM T_rows',
        ['grants: T_rows lacks DELETE, INSERT on TABLE T.users'],
      ],
      [
        'a missing right on a sequence',
        'REVOKE USAGE ON SEQUENCE T.roles_id_seq FROM T_rows',
        ['grants: T_rows lacks USAGE on SEQUENCE T.roles_id_seq'],
      ],
      [
        'missing rights on what comes later',
        'ALTER DEFAULT PRIVILEGES FOR ROLE T IN SCHEMA T REVOKE ALL ON TABLES FROM T_rows',
        ['grants: T_rows lacks DELETE, INSERT, SELECT, UPDATE on TABLES that T will make'],
      ],
      [
        'rights of everybody',
        'GRANT USAGE ON SCHEMA T TO PUBLIC; GRANT SELECT ON T.users TO PUBLIC',
        ['grants: PUBLIC has USAGE on SCHEMA T', 'grants: PUBLIC has SELECT on TABLE T.users'],
      ],
      [
        'a right of everybody on what comes later',
        'ALTER DEFAULT PRIVILEGES FOR ROLE T IN SCHEMA T GRANT USAGE ON SEQUENCES TO PUBLIC',
        ['grants: PUBLIC has USAGE on SEQUENCES that T will make'],
      ],
      [
        'a right of everybody on what comes later anywhere',
        'ALTER DEFAULT PRIVILEGES FOR ROLE T GRANT SELECT ON TABLES TO PUBLIC',
        ['grants: PUBLIC has SELECT on TABLES that T will make'],
      ],
      [
        'rights that the login has by itself',
        'GRANT SELECT, TRUNCATE ON T.users TO T_app',
        ['grants: T_app has SELECT, TRUNCATE on TABLE T.users'],
      ],
      [
        'rights beyond rows',
        'GRANT TRIGGER ON T.users TO T_rows; GRANT CREATE ON SCHEMA T TO T_rows',
        ['grants: T_rows has CREATE on SCHEMA T', 'grants: T_rows has TRIGGER on TABLE T.users'],
      ],
      [
        'rights that may be passed on',
        'GRANT SELECT ON T.users TO T_rows WITH GRANT OPTION',
        ['grants: T_rows may pass on SELECT on TABLE T.users'],
      ],
      [
        'a right on a column',
        'GRANT SELECT (email) ON T.users TO PUBLIC',
        ['grants: PUBLIC has SELECT on column email of TABLE T.users'],
      ],
      [
        'a lost password',
        `DELETE FROM tenant_credentials WHERE 'T' = 'tenant_' || replace(tenant_id::text, '-', '')`,
        ['login: there is no stored password of T_app'],
      ],
      [
        'a password that somebody else set',
        `ALTER ROLE T_app PASSWORD 'guessed'`,
        ['login: the stored password of T_app is not the role’s'],
      ],
      [
        'a lease’s login that is open without a lease',
        `CREATE ROLE T_l1 LOGIN CONNECTION LIMIT 1 IN ROLE T_rows; COMMENT ON ROLE T_l1 IS 'MARK'`,
        ['leases: T_l1 may log in, and no lease is on it'],
      ],
    ])('and mends %s', async (_, sql, found) => {
      const mark = ownershipMark(app.registryId, tenant.id);
      await asRoleAdminWhereRolesAreMade(sql.replace('MARK', mark));
      await expectMended(found);
    });

    /** A role that the superuser makes is nobody's to administer. */
    const asRoleAdminWhereRolesAreMade = (sql: string) =>
      sql.startsWith('CREATE ROLE') ? asRoleAdmin(sql) : drift(sql);

    test('and mends a login that is open though its tenant is suspended, and ends its sessions', async () => {
      await app.core.tenants.suspend(editor, tenant.id);
      await settled(app, tenant.id);
      await drift('ALTER ROLE T_app LOGIN');
      await using session = await app.login(tenant);
      await expectMended(['attributes: T_app may log in, and the tenant may not']);
      await expect(session.query('SELECT')).rejects.toThrow();
      await expect(app.login(tenant)).rejects.toMatchObject({ code: '28000' });
    });

    test('and mends rights of another tenant, and says them once', async () => {
      const other = await app.provision();
      await drift(`GRANT USAGE ON SCHEMA T TO ${other.names.app}`);
      expect((await visit({ tenantId: other.id })).lines).toEqual([]);
      const { lines } = await visit({ tenantId: null, fix: true, batch: 1 });
      expect(lines).toEqual([`grants: ${other.names.app} has USAGE on SCHEMA T; mended`]);
      expect(await visit({ tenantId: null, batch: 3 })).toEqual(healthy);
    });

    test('and mends memberships: one that is missing, and the service’s own that was left over', async () => {
      await asRoleAdmin(`REVOKE T_rows FROM T_app; GRANT T TO ${app.app.database.user}`);
      await expectMended(['memberships: S is a member of T', 'memberships: T_app is not a member of T_rows']);
    });

    test('and makes a login anew that is missing', async () => {
      await drift('DROP ROLE T_app');
      await expectMended([
        'roles: the role T_app is missing',
        'memberships: T_app is not a member of T_rows',
      ]);
    });

    test('and brings up to date a tenant that an earlier version made, whose login holds the rights itself', async () => {
      await drift(`
        DROP OWNED BY T_rows; DROP ROLE T_rows;
        GRANT USAGE ON SCHEMA T TO T_app; GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA T TO T_app;
        ALTER DEFAULT PRIVILEGES FOR ROLE T IN SCHEMA T GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO T_app`);
      const found = (await visit()).lines;
      expect(found.slice(0, 2)).toEqual([
        'roles: the role T_rows is missing; --fix mends it',
        'memberships: T_app is not a member of T_rows; --fix mends it',
      ]);
      expect(found.length).toBeGreaterThan(15);
      expect(await visit({ fix: true })).toEqual({
        lines: found.map((line) => line.replace('--fix mends it', 'mended')),
        well: true,
      });
      expect(await visit()).toEqual(healthy);
      await using session = await app.login(tenant);
      await session.query('SELECT FROM users');
    });

    test('and mends settings for this database alone', async () => {
      const { database } = app.app.database;
      await drift(`ALTER ROLE T_app IN DATABASE ${database} SET search_path = public`);
      await expectMended([
        `settings: the settings of T_app are search_path=T; ${database}: search_path=public, not search_path=T`,
      ]);
    });

    test('and mends what everybody may do in the registry', async () => {
      await drift('GRANT SELECT, INSERT ON public.tenants TO PUBLIC');
      await expectMended(['server: registry: everybody has INSERT, SELECT on tenants']);
    });

    describe('and leaves alone', () => {
      test.each<[string, string, readonly string[]]>([
        [
          'a schema that is gone',
          'DROP SCHEMA T CASCADE',
          ['schema: the schema T is missing; restore it from a backup'],
        ],
        [
          'a schema that is somebody else’s',
          'ALTER SCHEMA T OWNER TO postgres',
          ['schema: the schema T belongs to postgres; an administrator can: ALTER SCHEMA T OWNER TO T'],
        ],
        [
          'things in the schema that are somebody else’s',
          'CREATE TABLE T.intruder (); GRANT SELECT, INSERT, UPDATE, DELETE ON T.intruder TO T_rows; ALTER FUNCTION T.f() OWNER TO postgres',
          [
            'schema: function T.f() belongs to postgres; an administrator can give it to T',
            'schema: table T.intruder belongs to postgres; an administrator can give it to T',
          ],
        ],
        [
          'a schema that is behind',
          `UPDATE tenants SET schema_version = 1 WHERE 'T' = 'tenant_' || replace(id::text, '-', '')`,
          [
            'version: its schema is at version 1 of 2; an operation that applies migrations brings it further: docs/tenant-migrations.md',
          ],
        ],
        [
          'rights of its roles elsewhere',
          'GRANT SELECT ON public.tenants TO T_app; CREATE SCHEMA elsewhere AUTHORIZATION T_rows',
          [
            'rights elsewhere: T_app has rights on table tenants; who granted them can revoke them',
            'rights elsewhere: T_rows owns schema elsewhere; an administrator can give it to somebody else',
          ],
        ],
        [
          'large objects of its roles',
          'SELECT lo_create(4711); ALTER LARGE OBJECT 4711 OWNER TO T_app',
          ['rights elsewhere: T_app owns large object 4711; an administrator can give it to somebody else'],
        ],
      ])('%s', async (_, sql, found) => {
        await drift(
          'CREATE FUNCTION T.f() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$; ALTER FUNCTION T.f() OWNER TO T',
        );
        await drift(sql);
        await expectLeft(found);
        await drift('DROP SCHEMA IF EXISTS elsewhere; REVOKE ALL ON public.tenants FROM T_app');
        await drift('SELECT lo_unlink(oid) FROM pg_largeobject_metadata');
      });

      test('roles and schemas with another registry’s mark, or none, and all that goes with them', async () => {
        const other = ownershipMark(randomUUID(), tenant.id);
        const mark = ownershipMark(app.registryId, tenant.id);
        await drift(
          `COMMENT ON ROLE T_app IS NULL; COMMENT ON SCHEMA T IS '${other}'; ALTER ROLE T_rows LOGIN`,
        );
        const left = 'it is left alone; if it is this registry’s all the same, give it that comment';
        const lines = [
          `marks: the role T_app does not carry "${mark}"; ${left}`,
          `marks: the schema T does not carry "${mark}"; ${left}`,
          'attributes: T_rows may log in; it is left alone, since not all under this tenant’s names is this registry’s',
        ];
        for (const fix of [false, true]) {
          expect(await visit({ fix })).toEqual({
            lines: lines.map((line) => line.replace(tenant.names.schema, 'T')),
            well: false,
          });
        }
        await drift(`COMMENT ON ROLE T_app IS '${mark}'; COMMENT ON SCHEMA T IS '${mark}'`);
        await expectMended(['attributes: T_rows may log in']);
      });

      test('the sessions of leases', async () => {
        const { username: user, password } = await app.core.leases.take(editor, {
          tenantId: tenant.id,
          dsn: '',
        });
        await using session = await connect({ ...app.app.database, user, password });
        expect(await visit({ fix: true })).toEqual(healthy);
        await session.query('SELECT FROM users');
      });

      test('tenants whose operation is not finished, or failed', async () => {
        await drift('ALTER ROLE T LOGIN');
        await app.sql(
          `UPDATE operations SET state = 'FAILED', error = 'x', finished_at = now() WHERE tenant_id = $1`,
          [tenant.id],
        );
        const failed = 'skipped, its PROVISION failed: retryOperation or cancelOperation comes first';
        expect(await visit({ fix: true })).toEqual({ lines: [failed], well: true });
        await app.sql(
          `UPDATE operations SET state = 'PENDING', error = NULL, finished_at = NULL, next_attempt_at = now() + interval '1 hour' WHERE tenant_id = $1`,
          [tenant.id],
        );
        expect(await visit({ fix: true })).toEqual({
          lines: ['skipped, its PROVISION is not finished'],
          well: true,
        });
      });

      test('what PostgreSQL lets a superuser alone do', async () => {
        await drift('ALTER ROLE T_app SUPERUSER');
        expect((await visit()).lines).toEqual(['attributes: T_app is SUPERUSER; --fix mends it']);
        const { lines, well } = await visit({ fix: true });
        expect({ count: lines.length, well }).toEqual({ count: 1, well: false });
        expect(lines[0]).toMatch(
          /^attributes: T_app is SUPERUSER; not mended, since PostgreSQL says ".+": an administrator can$/,
        );
      });

      test('memberships that an administrator granted, where PostgreSQL keeps them apart', async () => {
        await drift('GRANT pg_read_all_data TO T_app');
        const found = 'memberships: T_app is a member of pg_read_all_data';
        if (version.version === '15') return expectMended([found]);
        const { lines, well } = await visit({ fix: true });
        expect({ count: lines.length, well }).toEqual({ count: 1, well: false });
        expect(lines[0]).toContain(`${found}; not mended`);
      });
    });

    describe('of what is left without a tenant', () => {
      const idOf = (schema: string) =>
        schema.slice(7).replace(/(.{8})(.{4})(.{4})(.{4})(.{12})/, '$1-$2-$3-$4-$5');
      const left = () => {
        const id = randomUUID();
        return { id, schema: `tenant_${id.replaceAll('-', '')}` };
      };

      test('roles, and drops them', async () => {
        const { id, schema } = left();
        const mark = ownershipMark(app.registryId, id);
        await asRoleAdmin(
          `CREATE ROLE ${schema}; CREATE ROLE ${schema}_app LOGIN; COMMENT ON ROLE ${schema} IS '${mark}'; COMMENT ON ROLE ${schema}_app IS '${mark}'`,
        );
        const found = `leftover ${idOf(schema)}: leftovers: ${schema}, ${schema}_app belong to no tenant`;
        const all = { tenantId: null, batch: 4 };
        expect((await visit(all)).lines).toContain(`${found}; --fix mends it`);
        expect((await visit({ ...all, fix: true })).lines).toContain(`${found}; mended`);
        expect((await visit(all)).lines.filter((line) => line.includes(schema))).toEqual([]);
      });

      test('a schema, and leaves it and its roles', async () => {
        const { id, schema } = left();
        const mark = ownershipMark(app.registryId, id);
        await drift(
          `CREATE ROLE ${schema}; COMMENT ON ROLE ${schema} IS '${mark}';
           CREATE SCHEMA ${schema} AUTHORIZATION ${schema}; COMMENT ON SCHEMA ${schema} IS '${mark}'`,
        );
        const found = `leftover ${id}: leftovers: the schema ${schema} belongs to no tenant; it is data: drop it by hand, or restore the registry that knows it`;
        for (const fix of [false, true]) {
          const { lines } = await visit({ tenantId: null, fix });
          expect(lines.filter((line) => line.includes(schema))).toEqual([found]);
        }
      });

      test('nothing, where it is another registry’s or nobody’s', async () => {
        const [foreign, unmarked] = [left(), left()];
        await drift(
          `CREATE ROLE ${foreign.schema}; COMMENT ON ROLE ${foreign.schema} IS '${ownershipMark(randomUUID(), foreign.id)}';
           CREATE ROLE ${unmarked.schema}_app LOGIN; CREATE SCHEMA ${unmarked.schema}`,
        );
        const { lines } = await visit({ tenantId: null, fix: true });
        expect(
          lines.filter((line) => line.includes(foreign.schema) || line.includes(unmarked.schema)),
        ).toEqual([]);
        expect(
          await app.administer(
            `SELECT count(*)::int FROM pg_roles WHERE rolname IN ('${foreign.schema}', '${unmarked.schema}_app')`,
          ),
        ).toEqual([{ count: 2 }]);
      });
    });

    describe.skipIf(version.version === '15')('of those who administer the tenants’ roles', () => {
      const prepared = async (sql: string) => {
        const [admin] = await drift(
          `SELECT member::regrole::text AS name FROM pg_auth_members WHERE roleid = 'T'::regrole AND admin_option`,
        );
        const named = (text: string) =>
          text.replaceAll(/\bA\b/g, String(admin?.name)).replaceAll(/\bC\b/g, chief());
        await drift(named(sql));
        return (lines: readonly string[]) =>
          lines.map((line) => `server: role administrators: ${named(line)}`);
      };
      const chief = () => `${chiefPrefix(app.registryId)}00001`;

      test.each<[string, string, string, string]>([
        ['may log in', 'ALTER ROLE A LOGIN', 'SELECT', 'A is LOGIN'],
        ['makes no roles', 'ALTER ROLE A NOCREATEROLE', 'SELECT', 'A is NOCREATEROLE'],
        ['is lent to somebody', 'SET ROLE C; GRANT A TO pg_monitor', 'SELECT', 'pg_monitor may act as A'],
        ['has a chief that may log in', 'ALTER ROLE C LOGIN', 'SELECT', 'C is LOGIN'],
        [
          'has a chief that is lent to somebody',
          'SET ROLE admin; GRANT C TO pg_monitor',
          'SELECT',
          'pg_monitor may act as C',
        ],
        [
          'has a chief that the service may not act as',
          'REVOKE C FROM admin GRANTED BY admin',
          'SELECT',
          'the service may not act as C',
        ],
      ])('that one %s', async (_, sql, back, found) => {
        const lines = await prepared(sql.replaceAll('MARK', roleAdminMark(app.registryId)));
        try {
          await expectMended(lines([found]));
        } finally {
          await prepared(back);
        }
      });

      test('that nobody administers a tenant’s roles, as behind an upgrade of the server', async () => {
        const lines = await prepared('REVOKE T_app FROM A');
        try {
          await expectLeft(
            lines([
              'nobody of this registry administers 1 roles of tenants, such as T_app; a superuser can, for each: GRANT T_app TO S WITH ADMIN OPTION',
            ]),
          );
        } finally {
          await prepared('GRANT T_app TO A WITH ADMIN TRUE, INHERIT FALSE, SET FALSE');
        }
        expect(await visit()).toEqual(healthy);
      });

      test('that the service still acts as those that are not among the newest', async () => {
        const prefix = roleAdminPrefix(app.registryId);
        const older = (
          await drift(
            `SELECT rolname AS name FROM pg_roles WHERE starts_with(rolname, '${prefix}') ORDER BY 1`,
          )
        ).map(({ name }) => name);
        const newest = ['90000', '90001', '90002'].map((number) => `${prefix}${number}`);
        const mark = roleAdminMark(app.registryId);
        for (const name of newest) {
          await drift(`CREATE ROLE ${name} CREATEROLE; COMMENT ON ROLE ${name} IS '${mark}'`);
        }
        await drift(`SET ROLE ${chief()}; GRANT ${older} TO admin`);
        try {
          await expectMended(older.map((name) => `server: role administrators: S may act as ${name}`));
        } finally {
          await drift(`DROP ROLE ${newest}; SET ROLE ${chief()}; GRANT ${older} TO admin`);
        }
      });

      test('that one carries another comment, and leaves it', async () => {
        const lines = await prepared(`COMMENT ON ROLE A IS 'mine'; ALTER ROLE A LOGIN`);
        try {
          await expectLeft(
            lines([
              "A does not carry this registry's comment; it may be somebody else’s; an administrator can tell",
            ]),
          );
        } finally {
          await prepared(`COMMENT ON ROLE A IS '${roleAdminMark(app.registryId)}'; ALTER ROLE A NOLOGIN`);
        }
      });
    });

    describe('of the administrator’s part', () => {
      test.each<[string, string, string, string]>([
        [
          'everybody may create in public',
          'GRANT CREATE ON SCHEMA public TO PUBLIC',
          'REVOKE CREATE ON SCHEMA public FROM PUBLIC',
          'server: public: everybody may CREATE in the schema public; deploy/administrator.sql forbids it',
        ],
        [
          'everybody may make large objects',
          'GRANT EXECUTE ON FUNCTION lo_creat(int), lo_from_bytea(oid, bytea) TO PUBLIC',
          'REVOKE EXECUTE ON FUNCTION lo_creat(int), lo_from_bytea(oid, bytea) FROM PUBLIC',
          'server: public: everybody may make large objects, by lo_creat(integer), lo_from_bytea(oid,bytea); deploy/administrator.sql forbids it',
        ],
        [
          'the service cannot end sessions',
          'REVOKE pg_signal_backend FROM admin',
          'GRANT pg_signal_backend TO admin',
          'server: service role: S lacks pg_signal_backend; deploy/administrator.sql gives it',
        ],
        [
          'the service may not make roles',
          'ALTER ROLE admin NOCREATEROLE',
          'ALTER ROLE admin CREATEROLE',
          'server: service role: S lacks CREATEROLE; deploy/administrator.sql gives it',
        ],
        [
          'the service is a superuser',
          'ALTER ROLE admin SUPERUSER',
          'ALTER ROLE admin NOSUPERUSER',
          'server: service role: S is a superuser; an administrator should take that away: the service needs CREATEROLE and its database',
        ],
      ])('that %s', async (_, sql, back, line) => {
        await drift(sql);
        try {
          await expectLeft([line]);
        } finally {
          await drift(back);
        }
        expect(await visit()).toEqual(healthy);
      });

      test('that PgBouncer’s function is missing, when a pooler is named', async () => {
        const told = async (over: Partial<DoctorOptions> = {}) => {
          const lines: string[] = [];
          const report = createReport(false, (line) => lines.push(line));
          for await (const statement of examine({ ...options, fix: false, tenantId: tenant.id, ...over }))
            report.tell(statement);
          return { lines, well: report.end() };
        };
        expect(await told()).toEqual({
          lines: ['1 tenant checked, 0 skipped: 0 findings.'],
          well: true,
        });
        const { host, port } = app.app.database;
        expect(await told({ pooler: { host, port } })).toEqual({
          lines: [
            'server: pooler: PgBouncer’s function pgbouncer.tenant_login is missing, and --pooler-host or --pooler-port is given; deploy/pgbouncer/administrator.sql makes it',
            '1 tenant checked, 0 skipped: 1 finding.',
          ],
          well: false,
        });
        await drift(
          'CREATE SCHEMA pgbouncer; CREATE FUNCTION pgbouncer.tenant_login() RETURNS int LANGUAGE sql AS $$ SELECT 1 $$',
        );
        const { lines } = await told({ pooler: { host, port: 1 } });
        expect(lines.at(0)).toMatch(
          /: pooler: the pooler at \S+:1 does not let tenant_\S+_app in: .+; docs\/pgbouncer.md says how it is set up$/,
        );
      });

      test('and refuses a tenant that is not there', async () => {
        const tenantId = randomUUID();
        await expect(visit({ tenantId })).rejects.toThrow(`--tenant: there is no tenant ${tenantId}`);
      });
    });
  });
});
