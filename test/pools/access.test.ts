import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { tenantNames } from '../../src/workers/tenant-names.ts';
import { editor, newTenant, startCore } from '../core/core-app.ts';
import { asAdministrator, createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { inState, settled } from '../workers/worker-app.ts';
import { hold, type PoolsBed, pidFor, pidOf, startPoolsBed, untilTotals } from './pools-bed.ts';

let bed: PoolsBed;
let id = '';

beforeAll(async () => {
  bed = await startPoolsBed();
});
afterAll(() => bed?.[Symbol.asyncDispose]());
beforeEach(async () => {
  [id = ''] = await bed.createTenants(1);
});

const suspended = { code: 'INVALID_STATE', message: 'The tenant is suspended; resume it first.' };

describe('a tenant with open connections', () => {
  // These pools hear nothing of what happens to it: their feed is not the app's.
  test('that is suspended ends its borrowers and lets nobody in, until it is resumed', async () => {
    await using pools = bed.pools();
    const held = await hold(pools, id);
    await pidFor(pools, id);
    expect(pools.usage(id)).toEqual({ active: 1, idle: 1, waiting: 0 });
    await bed.app.core.tenants.suspend(editor, id);
    await settled(bed.app, id);
    await expect(pidOf(held.session)).rejects.toThrow();
    await held.release();
    await expect(pidFor(pools, id)).rejects.toMatchObject(suspended);
    expect(await bed.sessions(id)).toEqual([]);
    await bed.app.core.tenants.resume(editor, id);
    await settled(bed.app, id);
    expect([await pidFor(pools, id)]).toEqual(await bed.sessions(id));
  });

  test('that is deleted ends its borrowers and is not found, until it is restored', async () => {
    await using pools = bed.pools();
    const held = await hold(pools, id);
    await bed.app.core.tenants.remove(editor, id);
    await settled(bed.app, id);
    await expect(pidOf(held.session)).rejects.toThrow();
    await held.release();
    await expect(pidFor(pools, id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await bed.app.core.tenants.restore(editor, id);
    await settled(bed.app, id);
    expect([await pidFor(pools, id)]).toEqual(await bed.sessions(id));
  });

  test('whose password is rotated goes on with the new one; who was at work is ended', async () => {
    await using pools = bed.pools({ limits: { accountMs: 60_000 } });
    const held = await hold(pools, id);
    const idle = await pidFor(pools, id);
    await bed.rotate(id);
    await expect(pidOf(held.session)).rejects.toThrow();
    await held.release();
    const pid = await pidFor(pools, id);
    expect([held.pid, idle]).not.toContain(pid);
    expect(await bed.sessions(id)).toEqual([pid]);
  });

  test('whose password is another one than was read a moment ago is let in with that', async () => {
    await using pools = bed.pools({ limits: { accountMs: 60_000 } });
    const held = await hold(pools, id);
    await bed.rotate(id, { endsSessions: false });
    const readings = bed.readings.count;
    expect(await pidFor(pools, id)).not.toBe(held.pid);
    expect(bed.readings.count).toBe(readings + 1);
    expect(await pidOf(held.session)).toBe(held.pid);
    await held.release();
  });

  test('that somebody has shut out by hand is refused as the server says it', async () => {
    await using pools = bed.pools();
    await bed.app.sql(`SELECT pg_terminate_backend($1, 5000)`, [await pidFor(pools, id)]);
    const { administrator } = bed.app.app;

    await asAdministrator(administrator, `ALTER ROLE ${tenantNames(id).app} NOLOGIN`);
    await expect(pidFor(pools, id)).rejects.toMatchObject({ code: '28000' });
    expect(pools.totals()).toEqual({ active: 0, idle: 0, waiting: 0, max: 10 });
    await asAdministrator(administrator, `ALTER ROLE ${tenantNames(id).app} LOGIN`);
    expect(await pidFor(pools, id)).toBeGreaterThan(0);
  });

  test('that is refused keeps none of its waiters', async () => {
    await using pools = bed.pools({ max: 1, limits: { waitMs: 60_000 } });
    const held = await hold(pools, id);
    const waiting = [pidFor(pools, id), pidFor(pools, id)].map((each) =>
      expect(each).rejects.toMatchObject(suspended),
    );
    await untilTotals(pools, { waiting: 2 });
    await bed.app.core.tenants.suspend(editor, id);
    await settled(bed.app, id);
    await held.release();
    await Promise.all(waiting);
    expect(pools.usage(id)).toEqual({ active: 0, idle: 0, waiting: 0 });
  });
});

test('a tenant that is not provisioned has no connections, nor has one whose operation is not done', async () => {
  await using database = await createTestDatabase();
  await using waiting = await startCore({ worker: false, database });
  const { tenant, operation } = await waiting.core.tenants.create(editor, newTenant());
  const { withTenant } = waiting.app.tenantPools;
  await expect(withTenant(tenant.id, pidOf)).rejects.toMatchObject({
    code: 'INVALID_STATE',
    message: "The tenant's PROVISION operation is not finished; wait for its end and try again.",
  });
  await waiting.sql(
    `UPDATE operations SET state = 'FAILED', error = 'because', finished_at = now() WHERE id = $1`,
    [operation.id],
  );
  await waiting.sql(`UPDATE tenants SET status = 'ERROR' WHERE id = $1`, [tenant.id]);
  await expect(withTenant(tenant.id, pidOf)).rejects.toMatchObject({
    code: 'INVALID_STATE',
    message: "The tenant's PROVISION operation failed; retry it or cancel it, and try again.",
  });
});

test('from the acceptance of a suspension on nobody is let in, before a worker has begun with it', async () => {
  await using database = await createTestDatabase();
  const { tenant } = await (async () => {
    await using working = await startCore({ database });
    const created = await working.core.tenants.create(editor, newTenant());
    await settled(working, created.tenant.id);
    return created;
  })();
  await using idle = await startCore({ worker: false, database });
  const { tenantPools } = idle.app;
  const held = await hold(tenantPools, tenant.id);
  await tenantPools.withTenant(tenant.id, pidOf);
  expect(tenantPools.usage(tenant.id)).toEqual({ active: 1, idle: 1, waiting: 0 });
  await idle.core.tenants.suspend(editor, tenant.id);
  await eventually(() => tenantPools.usage(tenant.id).idle === 0, 10_000);
  await expect(tenantPools.withTenant(tenant.id, pidOf)).rejects.toMatchObject({
    code: 'INVALID_STATE',
    message: "The tenant's SUSPEND operation is not finished; wait for its end and try again.",
  });
  // Who has one keeps it until the server ends it; nobody gets it afterwards.
  expect(await pidOf(held.session)).toBe(held.pid);
  await held.release();
  expect(tenantPools.totals()).toMatchObject({ active: 0, idle: 0, waiting: 0 });
});

test('a suspended tenant’s password is rotated, and its login stays shut', async () => {
  await bed.app.core.tenants.suspend(editor, id);
  await inState(bed.app, id, 'SUCCEEDED');
  await bed.rotate(id);
  await using pools = bed.pools();
  await expect(pidFor(pools, id)).rejects.toMatchObject(suspended);
  await bed.app.core.tenants.resume(editor, id);
  await settled(bed.app, id);
  expect(await pidFor(pools, id)).toBeGreaterThan(0);
});
