import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { eventually } from '../support/eventually.ts';
import { areGapless, connect, eventsOf, migrationFiles, schemaOf, settled } from './worker-app.ts';

let app: CoreApp;

beforeAll(async () => {
  app = await startCore({ timings: { firstRetryMs: 20 } });
});
afterAll(() => app?.[Symbol.asyncDispose]());

/** Waits until a worker has taken the tenant's operation; by then it may be over, too. */
function begun(id: string): Promise<unknown> {
  const { tenants, operations } = app.core;
  return eventually(async () => {
    const { operationId } = await tenants.get(id, 'INCLUDE');
    return (await operations.find(operationId ?? ''))?.state !== 'PENDING';
  }, 60_000);
}

test('while tenants are renamed, deleted and restored as they come up, no sequence has a gap and nothing fails', async () => {
  const { tenants } = app.core;
  const created = await Promise.all(Array.from({ length: 18 }, () => tenants.create(editor, newTenant())));
  const ids = created.map(({ tenant }) => tenant.id);
  const refusals: unknown[] = [];
  const refused = (error: unknown) => void refusals.push(Reflect.get(Object(error), 'code') ?? error);
  await Promise.all(
    ids.map(async (id, index) => {
      await tenants.update(editor, { id, name: `Renamed ${index}` }).catch(refused);
      if (index % 3 === 0) return;
      // As soon as the worker has it, or while it waits: whatever comes first.
      if (index % 3 === 1) await begun(id);
      await Promise.all([
        tenants.remove(editor, id),
        tenants.update(editor, { id, tier: 'gold' }).catch(refused),
        tenants.remove(editor, id),
      ]);
    }),
  );
  // An update that came behind the deletion found nobody; that is all that may have gone wrong.
  expect(refusals.filter((code) => code !== 'NOT_FOUND')).toEqual([]);
  for (const [index, id] of ids.entries()) {
    const { tenant, operation } = await settled(app, id);
    expect(operation.state).toBe('SUCCEEDED');
    expect([tenant.status, tenant.deletedAt === null]).toEqual(
      index % 3 === 0 ? ['ACTIVE', true] : [expect.stringMatching(/^(PROVISIONING|ACTIVE)$/), false],
    );
  }
  const restored = ids.filter((_, index) => index % 3 === 1);
  await Promise.all(restored.map((id) => tenants.restore(editor, id)));
  for (const id of restored)
    expect((await settled(app, id)).tenant).toMatchObject({ status: 'ACTIVE', deletedAt: null });
  for (const id of ids) expect(areGapless(await eventsOf(app, id))).toBe(true);
  const errors = app.app.logged.filter((line) => /deadlock|could not serialize|"level":(50|60)/.test(line));
  expect(errors).toEqual([]);
  await eventually(
    async () =>
      (await app.sql(`SELECT FROM graphile_worker.jobs WHERE task_identifier = 'operation'`)).length === 0,
    20_000,
  );
}, 120_000);

test('a deletion in the middle of a step does not wait for it, and undoes what the step had begun', async () => {
  await using files = await migrationFiles({
    '0001_slow.sql': 'CREATE TABLE slow (); SELECT pg_advisory_xact_lock(42);',
  });
  await using slow = await startCore({ config: { tenantMigrations: files.directory } });
  await using other = await connect(slow.app.administrator);
  await other.query('SELECT pg_advisory_lock(42)');
  const { tenant, operation } = await slow.core.tenants.create(editor, newTenant());
  const waiting = `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
  await eventually(async () => (await other.query(waiting)).length === 1, 30_000);

  const removed = await slow.core.tenants.remove(editor, tenant.id);
  expect(removed.operation).toMatchObject({ kind: 'DELETE', state: 'PENDING' });
  expect(await slow.core.operations.find(operation.id)).toMatchObject({ state: 'CANCELLED' });
  expect(await other.query(waiting)).toHaveLength(1);
  // The DELETE is done while the step of the cancelled one still hangs.
  expect((await settled(slow, tenant.id)).operation).toMatchObject({ kind: 'DELETE', state: 'SUCCEEDED' });
  const events = await eventsOf(slow, tenant.id);

  await other.query('SELECT pg_advisory_unlock(42)');
  await eventually(
    () => slow.app.logged.some((line) => line.includes('the operation belongs to somebody else now')),
    20_000,
  );
  expect(await eventsOf(slow, tenant.id)).toEqual(events);
  expect(areGapless(events)).toBe(true);
  const left = 'SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace';
  expect(await other.query(left, [schemaOf(tenant.id)])).toEqual([]);
  expect(await slow.sql('SELECT schema_version, status FROM tenants WHERE id = $1', [tenant.id])).toEqual([
    { schema_version: 0, status: 'PROVISIONING' },
  ]);
  const login = 'SELECT rolcanlogin FROM pg_roles WHERE rolname = $1';
  expect(await other.query(login, [`${schemaOf(tenant.id)}_app`])).toEqual([{ rolcanlogin: false }]);

  await slow.core.tenants.restore(editor, tenant.id);
  expect((await settled(slow, tenant.id)).tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 1 });
}, 90_000);
