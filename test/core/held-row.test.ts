import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { expect, test } from 'vitest';
import { createTenants } from '../../src/core/tenants.ts';
import { createRules } from '../../src/core/validation.ts';
import { createKeyRing } from '../../src/db/key-ring.ts';
import { createPool } from '../../src/db/pool.ts';
import { createRegistryClients } from '../../src/db/prisma-client.ts';
import { createRegistry } from '../../src/db/registry.ts';
import { asAdministrator, createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { uncached } from '../support/uncached.ts';
import { editor, newTenant, outcomes } from './core-app.ts';

test('whoever holds a row for ever holds up the changes of that tenant for a while, and nothing else', async () => {
  await using parts = new AsyncDisposableStack();
  const database = parts.use(await createTestDatabase());
  // The app's wait for a lock is longer than a test should be.
  const pool = createPool(database.settings, {
    max: 8,
    name: 'held',
    onError: () => {},
    lockTimeoutMs: 1_000,
  });
  parts.defer(() => pool.end());
  const keyRing = createKeyRing([{ id: 'key', key: randomBytes(32) }], randomBytes(32));
  const { client } = createRegistryClients(pool, keyRing);
  const registry = createRegistry({ client, pool, keyRing });
  const tenants = createTenants({
    registry,
    cache: uncached(registry),
    feed: { publish: () => {} },
    rules: createRules(new Set()),
    digest: keyRing.digest,
  });
  const { tenant } = await tenants.create(editor, newTenant());
  const holder = new pg.Client(database.administrator);
  await holder.connect();
  parts.defer(() => holder.end());
  await holder.query('BEGIN');
  await holder.query('SELECT FROM tenants WHERE id = $1 FOR UPDATE', [tenant.id]);

  const changes = outcomes(
    Array.from({ length: 5 }, () => tenants.update(editor, { id: tenant.id, name: 'Held up' })),
  );
  const waiting = `SELECT FROM pg_stat_activity WHERE application_name = 'held' AND wait_event_type = 'Lock'`;
  await eventually(
    async () => ((await asAdministrator(database.administrator, waiting)).rowCount ?? 0) > 1,
    10_000,
  );
  // Reads and other tenants go on.
  expect((await tenants.get(tenant.id)).name).toBe(tenant.name);
  await tenants.create(editor, newTenant());
  expect(await changes).toEqual(Array(5).fill('UNAVAILABLE'));
  await holder.query('ROLLBACK');
  const after = await tenants.update(editor, { id: tenant.id, name: 'Free' });
  expect(after).toMatchObject({ name: 'Free', version: tenant.version + 1 });
});
