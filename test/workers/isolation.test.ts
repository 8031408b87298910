import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openRegistry } from '../../src/db/open-registry.ts';
import { createTenantCredentials } from '../../src/db/tenant-credentials.ts';
import { withTenantSession } from '../../src/pools/tenant-session.ts';
import { createRoleAdmins } from '../../src/workers/role-admins.ts';
import type { StepContext } from '../../src/workers/step.ts';
import { createStepContexts } from '../../src/workers/step-context.ts';
import { verifyIsolation } from '../../src/workers/steps/verify-isolation.ts';
import { readTenantMigrations } from '../../src/workers/tenant-migrations.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { asAdministrator } from '../support/database.ts';
import { schemaOf, settled } from './worker-app.ts';

const encryptionKeys = [{ id: 'key', key: randomBytes(32) }];

let app: CoreApp;
/** Of a tenant that came up, beside an older and a newer one. */
let context: StepContext;
let schema = '';
let neighbour = '';

beforeAll(async () => {
  app = await startCore({ config: { encryptionKeys } });
  const create = async () => (await app.core.tenants.create(editor, newTenant())).tenant.id;
  const [tenantId, newer] = [await create(), await create()];
  for (const id of [tenantId, newer]) expect((await settled(app, id)).tenant.status).toBe('ACTIVE');
  [schema, neighbour] = [schemaOf(tenantId), schemaOf(newer)];
  const { database } = app.app;
  const { registryId, keyRing } = await openRegistry(database, encryptionKeys);
  const contexts = createStepContexts({
    registryId,
    roleAdmins: createRoleAdmins({ registryId, beside: () => {} }),
    migrations: await readTenantMigrations('prisma/tenant', []),
    password: createTenantCredentials(keyRing),
    login: (user, password, work) => withTenantSession(database, user, password, work),
  });
  const taken = { operation: { tenantId }, tenantStatus: 'ACTIVE', schemaVersion: 2 } as const;
  const sql = { query: app.sql, send: () => {}, reset: () => {} };
  context = contexts(taken).inTransaction(sql, {
    note: () => {},
    setTenantStatus: () => {},
    setSchemaVersion: () => {},
  });
}, 60_000);
afterAll(() => app?.[Symbol.asyncDispose]());

const administer = (sql: string) => asAdministrator(app.app.administrator, sql);

test('a tenant that is isolated is found to be so', async () => {
  await verifyIsolation.apply(context);
});

test.each<[string, () => string, () => string, string]>([
  [
    'reads the registry',
    () => 'GRANT SELECT ON public.tenants TO PUBLIC',
    () => 'REVOKE ALL ON public.tenants FROM PUBLIC',
    'the login of the tenant has rights on public.tenants; it must not',
  ],
  [
    'may write keys of the registry',
    () => 'GRANT INSERT ON public.encryption_keys TO PUBLIC',
    () => 'REVOKE ALL ON public.encryption_keys FROM PUBLIC',
    'the login of the tenant has rights on public.encryption_keys; it must not',
  ],
  [
    'reads one column of the credentials',
    () => 'GRANT SELECT (password) ON public.tenant_credentials TO PUBLIC',
    () => 'REVOKE ALL (password) ON public.tenant_credentials FROM PUBLIC',
    'the login of the tenant has rights on public.tenant_credentials; it must not',
  ],
  [
    'may empty the history',
    () => `GRANT TRUNCATE ON public.provisioning_events TO ${schema}_app`,
    () => `REVOKE ALL ON public.provisioning_events FROM ${schema}_app`,
    'the login of the tenant has rights on public.provisioning_events; it must not',
  ],
  [
    'sees another tenant',
    () => `GRANT USAGE ON SCHEMA ${neighbour} TO PUBLIC`,
    () => `REVOKE USAGE ON SCHEMA ${neighbour} FROM PUBLIC`,
    'the login of the tenant sees another tenant; it must not',
  ],
  [
    'is a member of another tenant',
    () => `GRANT ${neighbour}_app TO ${schema}_app`,
    () => `REVOKE ${neighbour}_app FROM ${schema}_app`,
    'the login of the tenant sees another tenant; it must not',
  ],
  [
    'is a member of a role that is none of a tenant',
    () => `GRANT pg_monitor TO ${schema}_app`,
    () => `REVOKE pg_monitor FROM ${schema}_app`,
    'the login of the tenant is a member of roles outside of the tenant; it must not',
  ],
  [
    'may create tables',
    () => `GRANT CREATE ON SCHEMA ${schema} TO ${schema}_app`,
    () => `REVOKE CREATE ON SCHEMA ${schema} FROM ${schema}_app; DROP TABLE IF EXISTS ${schema}.intruder`,
    'the login of the tenant creates tables; it must not',
  ],
  [
    'may become its owner',
    () => `GRANT ${schema} TO ${schema}_app`,
    () => `REVOKE ${schema} FROM ${schema}_app; DROP TABLE IF EXISTS ${schema}.intruder`,
    'the login of the tenant becomes its owner; it must not',
  ],
  [
    'looks into the common schema first',
    () => `ALTER ROLE ${schema}_app SET search_path = public, ${schema}`,
    () => `ALTER ROLE ${schema}_app SET search_path = ${schema}`,
    'the login of the tenant does not see its schema alone',
  ],
  [
    'does not reach one of its tables',
    () => `REVOKE DELETE ON ${schema}.users FROM ${schema}_rows`,
    () => `GRANT DELETE ON ${schema}.users TO ${schema}_rows`,
    'the login of the tenant does not reach its own tables',
  ],
])('a tenant whose login %s is found out', async (_, open, close, reason) => {
  await administer(open());
  try {
    await expect(verifyIsolation.apply(context)).rejects.toThrow(reason);
  } finally {
    await administer(close());
  }
  await verifyIsolation.apply(context);
});
