import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ProvisioningEvent } from '../../src/core/model.ts';
import { openRegistry } from '../../src/db/open-registry.ts';
import { createTenantCredentials } from '../../src/db/tenant-credentials.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { startVersionCluster } from '../db/version-cluster.ts';
import { createTestDatabase } from '../support/database.ts';
import { postgresVersions } from '../support/postgres-versions.ts';
import { connect, eventsOf, type Session, schemaOf, settled } from './worker-app.ts';

const encryptionKeys = [{ id: 'key', key: randomBytes(32) }];
const migrationsDirectory = join(import.meta.dirname, '../../prisma/tenant');

describe.each(postgresVersions)('$title', (version) => {
  describe.skipIf(!version.available)('a provisioned tenant', () => {
    let parts: AsyncDisposableStack;
    let app: CoreApp;
    let registryId = '';
    let tenantId = '';
    let schema = '';
    let administrator: Session;
    /** As the tenant's `…_app` login. */
    let session: Session;
    let password = '';

    beforeAll(async () => {
      parts = new AsyncDisposableStack();
      const database =
        version.version === '18'
          ? parts.use(await createTestDatabase())
          : parts.use(await parts.use(await startVersionCluster(version)).emptyDatabase());
      app = parts.use(await startCore({ database, config: { encryptionKeys } }));
      tenantId = await provisioned();
      schema = schemaOf(tenantId);
      administrator = parts.use(await connect(database.administrator));
      const opened = await openRegistry(database.settings, encryptionKeys);
      registryId = opened.registryId;
      password = await createTenantCredentials(opened.keyRing)({ query: app.sql }, tenantId);
      session = parts.use(await connect({ ...database.settings, user: `${schema}_app`, password }));
    }, 120_000);
    afterAll(() => parts?.disposeAsync());

    async function provisioned(): Promise<string> {
      const { tenant } = await app.core.tenants.create(editor, newTenant());
      const end = await settled(app, tenant.id);
      expect(end.operation).toMatchObject({ state: 'SUCCEEDED', attempt: 1, error: null });
      expect(end.tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 2 });
      return tenant.id;
    }

    test('has told each step, in order', async () => {
      const events = (await eventsOf(app, tenantId)).map(summary);
      const running = (step: string, completed: number) => [
        `RUNNING ${step} IN_PROGRESS ${completed}/5 PROVISIONING`,
        `RUNNING ${step} SUCCESS ${completed + 1}/5 PROVISIONING`,
      ];
      expect(events).toEqual(
        [
          'PENDING create_role PENDING 0/5 PROVISIONING',
          ...running('create_role', 0),
          ...running('create_schema', 1),
          'RUNNING apply_migrations IN_PROGRESS 2/5 PROVISIONING',
          'RUNNING apply_migrations IN_PROGRESS 2/5 PROVISIONING 0001_workspace.sql applied',
          'RUNNING apply_migrations IN_PROGRESS 2/5 PROVISIONING 0002_projects.sql applied',
          'RUNNING apply_migrations SUCCESS 3/5 PROVISIONING',
          ...running('verify_isolation', 3),
          'RUNNING activate IN_PROGRESS 4/5 PROVISIONING',
          'SUCCEEDED activate SUCCESS 5/5 ACTIVE',
        ].map((line, index) => `${index + 1} ${line}`),
      );
    });

    test('has an owner and a holder of rights that cannot log in and a login that owns nothing, all marked as this registry’s', async () => {
      const roles = await administrator.query(
        `SELECT rolname, rolcanlogin, rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
                shobj_description(oid, 'pg_authid') AS mark, rolconfig
         FROM pg_roles WHERE rolname LIKE $1 ORDER BY rolname`,
        [`${schema}%`],
      );
      const plain = {
        rolsuper: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
        rolbypassrls: false,
        mark: `tenant-management-service registry=${registryId} tenant=${tenantId}`,
      };
      expect(roles).toEqual([
        { ...plain, rolname: schema, rolcanlogin: false, rolconfig: null },
        { ...plain, rolname: `${schema}_app`, rolcanlogin: true, rolconfig: [`search_path=${schema}`] },
        { ...plain, rolname: `${schema}_rows`, rolcanlogin: false, rolconfig: null },
      ]);
      const memberships = await administrator.query(
        `SELECT roleid::regrole::text AS role, admin_option FROM pg_auth_members WHERE member = ANY($1::regrole[])`,
        [[schema, `${schema}_app`, `${schema}_rows`]],
      );
      expect(memberships).toEqual([{ role: `${schema}_rows`, admin_option: false }]);
      const owned = await administrator.query(
        `SELECT count(*)::int AS count FROM pg_shdepend WHERE refobjid = $1::regrole AND deptype = 'o'`,
        [`${schema}_app`],
      );
      expect(owned).toEqual([{ count: 0 }]);
    });

    test('left the service without any membership that it could use', async () => {
      const usable = await administrator.query(
        `SELECT rolname FROM pg_roles WHERE rolname LIKE 'tenant\\_%' AND
           (pg_has_role($1, oid, 'USAGE') OR EXISTS (
             SELECT FROM pg_auth_members AS m WHERE m.roleid = pg_roles.oid AND m.member::regrole::text NOT LIKE 'tenant\\_%'
               AND (to_jsonb(m) ? 'set_option' AND (to_jsonb(m)->>'set_option')::boolean OR NOT to_jsonb(m) ? 'set_option')))`,
        [app.app.database.user],
      );
      expect(usable).toEqual([]);
    });

    test('has a schema of the owner’s, marked, that nobody else may use', async () => {
      const [found] = await administrator.query(
        `SELECT nspowner::regrole::text AS owner, obj_description(oid, 'pg_namespace') AS mark, nspacl::text AS rights
         FROM pg_namespace WHERE nspname = $1`,
        [schema],
      );
      expect(found).toEqual({
        owner: schema,
        mark: `tenant-management-service registry=${registryId} tenant=${tenantId}`,
        rights: `{${schema}=UC/${schema},${schema}_rows=U/${schema}}`,
      });
    });

    test('has the tables, indexes and keys of the tenant migrations', async () => {
      await administrator.query('CREATE SCHEMA expected; SET search_path TO expected');
      for (const name of (await readdir(migrationsDirectory)).sort()) {
        await administrator.query(await readFile(join(migrationsDirectory, name), 'utf8'));
      }
      await administrator.query('RESET search_path');
      const made = await definitions(schema);
      expect(made).toEqual(await definitions('expected'));
      expect(made.filter((line) => line.startsWith('r '))).toHaveLength(6);
    });

    /** A line for each table, index, sequence and constraint of a schema, without its name. */
    async function definitions(name: string): Promise<string[]> {
      const rows = await administrator.query(
        `SELECT relkind::text || ' ' || relname || ' ' || coalesce(pg_get_indexdef(CASE WHEN relkind = 'i' THEN oid END), '') AS line
         FROM pg_class WHERE relnamespace = $1::regnamespace
         UNION ALL
         SELECT conname || ' ' || pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = $1::regnamespace
         ORDER BY line`,
        [name],
      );
      return rows.map(({ line }) => String(line).replaceAll(`${name}.`, ''));
    }

    test('has its password sealed in the registry and as a verifier in PostgreSQL, and nowhere else', async () => {
      const [sealed] = await app.sql('SELECT password FROM tenant_credentials WHERE tenant_id = $1', [
        tenantId,
      ]);
      expect(sealed?.password).toMatch(/^v1:key:/);
      const [verifier] = await administrator.query('SELECT rolpassword FROM pg_authid WHERE rolname = $1', [
        `${schema}_app`,
      ]);
      expect(verifier?.rolpassword).toMatch(/^SCRAM-SHA-256\$1:/);
      expect(password).toMatch(/^[\w-]{43}$/);
      expect(app.app.logged.join('\n')).not.toContain(password);
    });

    test('is worked on, row by row, by its login, whose search path is its schema', async () => {
      expect(await session.query('SELECT current_schemas(false)::text[] AS path')).toEqual([
        { path: [schema] },
      ]);
      await session.query(`INSERT INTO users (email, display_name) VALUES ('a@b.example', 'A')`);
      await session.query(`INSERT INTO activity (action) VALUES ('tried')`);
      await session.query(`UPDATE users SET display_name = 'B'`);
      expect(await session.query('SELECT display_name FROM users')).toEqual([{ display_name: 'B' }]);
      await session.query('DELETE FROM users');
    });

    test('gives its login the rows of tables that come later, too', async () => {
      await administrator.query(
        `SET ROLE ${schema}; CREATE TABLE ${schema}.later (id int GENERATED ALWAYS AS IDENTITY, note text); RESET ROLE`,
      );
      await session.query(`INSERT INTO later (note) VALUES ('x')`);
      expect(await session.query('TABLE later')).toEqual([{ id: 1, note: 'x' }]);
      await administrator.query(`DROP TABLE ${schema}.later`);
    });

    test('lets nobody log in as its owner, and nobody in without the password', async () => {
      const settings = app.app.database;
      for (const user of [schema, `${schema}_app`]) {
        await expect(connect({ ...settings, user, password: 'guessed' })).rejects.toMatchObject({
          code: expect.stringMatching(/^28/),
        });
      }
    });
  });
});

function summary(event: ProvisioningEvent): string {
  const { sequence, operationState, step, status, completedSteps, totalSteps, tenantStatus, message } = event;
  return `${sequence} ${operationState} ${step} ${status} ${completedSteps}/${totalSteps} ${tenantStatus} ${message ?? ''}`.trim();
}
