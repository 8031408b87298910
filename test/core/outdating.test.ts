import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createOperations, type Operations } from '../../src/core/operations.ts';
import { createTenants, type Tenants } from '../../src/core/tenants.ts';
import { createRules } from '../../src/core/validation.ts';
import { createKeyRing } from '../../src/db/key-ring.ts';
import { createPool } from '../../src/db/pool.ts';
import { createRegistryClients } from '../../src/db/prisma-client.ts';
import { createRegistry } from '../../src/db/registry.ts';
import { actor } from '../support/actor.ts';
import { asAdministrator, createTestDatabase, type TestDatabase } from '../support/database.ts';
import { uncached } from '../support/uncached.ts';
import { editor, newTenant } from './core-app.ts';

// Whoever remembers a tenant is told of a change by a caller before its commit, and of its version behind it.

const admin = actor('admin', 'an admin');
const parts = new AsyncDisposableStack();
let database: TestDatabase;
let tenants: Tenants;
let operations: Operations;
let told: [tenantId: string, version: number | null][] = [];

beforeAll(async () => {
  database = parts.use(await createTestDatabase());
  const pool = createPool(database.settings, { max: 5, name: 'outdating', onError: () => {} });
  parts.defer(() => pool.end());
  const keyRing = createKeyRing([{ id: 'key', key: randomBytes(32) }], randomBytes(32));
  const { client } = createRegistryClients(pool, keyRing);
  const registry = createRegistry({ client, pool, keyRing });
  const cache = {
    ...uncached(registry),
    outdate: (id: string, version: number | null) => void told.push([id, version]),
  };
  const feed = { publish: () => {} };
  tenants = createTenants({ registry, feed, cache, rules: createRules(new Set()), digest: keyRing.digest });
  operations = createOperations({ registry, feed, cache });
});
afterAll(() => parts.disposeAsync());
beforeEach(() => {
  told = [];
});

test('a creation tells its version, when it is committed: somebody may have asked for the subdomain', async () => {
  const input = { ...newTenant(), idempotencyKey: 'a creation' };
  const { tenant } = await tenants.create(editor, input);
  expect(told).toEqual([[tenant.id, 1]]);
  await tenants.create(editor, input);
  expect(told).toEqual([[tenant.id, 1]]);
});

test('every change tells its version', async () => {
  const { tenant, operation } = await tenants.create(editor, newTenant());
  const { id } = tenant;
  const tells = async (change: () => Promise<unknown>) => {
    told = [];
    await change();
    const { version } = await tenants.get(id, 'INCLUDE');
    expect(told).toEqual([
      [id, null],
      [id, version],
    ]);
  };
  await tells(() => tenants.update(editor, { id, name: 'Renamed' }));
  await tells(() => operations.cancel(editor, operation.id));
  await tells(() => tenants.remove(admin, id));
  const deletion = (await tenants.get(id, 'ONLY')).operationId;
  await asAdministrator(
    database.administrator,
    `UPDATE operations SET state = 'FAILED', error = 'no', finished_at = now() WHERE id = '${deletion}'`,
  );
  await tells(() => operations.retry(editor, deletion ?? ''));
  await asAdministrator(
    database.administrator,
    `UPDATE operations SET state = 'SUCCEEDED', finished_at = now() WHERE id = '${deletion}';
     UPDATE tenants SET status = 'ACTIVE' WHERE id = '${id}'`,
  );
  await tells(() => tenants.restore(admin, id));
  await asAdministrator(
    database.administrator,
    `UPDATE operations SET state = 'SUCCEEDED', finished_at = now() WHERE tenant_id = '${id}' AND finished_at IS NULL`,
  );
  await tells(() => tenants.suspend(admin, id));
});

test('what changes nothing and what is refused tells nobody', async () => {
  const input = newTenant();
  const { tenant } = await tenants.create(editor, input);
  const { id, version } = tenant;
  told = [];
  await tenants.update(editor, { id, ...input });
  await expect(
    tenants.update(editor, { id, name: 'Stale', expectedVersion: version + 1 }),
  ).rejects.toMatchObject({ code: 'VERSION_CONFLICT' });
  await expect(tenants.suspend(admin, id)).rejects.toMatchObject({ code: 'INVALID_STATE' });
  expect(told).toEqual([]);
});

test('what fails at its commit leaves the version open', async () => {
  const { tenant } = await tenants.create(editor, newTenant());
  await asAdministrator(
    database.administrator,
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
     CREATE CONSTRAINT TRIGGER refuse AFTER UPDATE ON tenants DEFERRABLE INITIALLY DEFERRED
     FOR EACH ROW EXECUTE FUNCTION refuse()`,
  );
  told = [];
  await expect(tenants.update(editor, { id: tenant.id, name: 'Refused' })).rejects.toThrow();
  expect(told).toEqual([[tenant.id, null]]);
});
