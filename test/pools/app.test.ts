import { expect, test } from 'vitest';
import { editor, newTenant } from '../core/core-app.ts';
import { startTestApp } from '../support/app.ts';
import { asAdministrator, createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { hold, pidFor, pidOf } from './pools-bed.ts';

test('the process gives tenants as many connections as their tier has, and stops when their borrowers are done', async () => {
  await using database = await createTestDatabase();
  const tierConnections = new Map([
    ['standard', 1],
    ['gold', 2],
  ]);
  const app = await startTestApp({ database, config: { tierConnections }, timings: { drainMs: 60_000 } });
  const create = async (tier: string) => {
    const { tenant } = await app.core.tenants.create(editor, { ...newTenant(), tier });
    await eventually(async () => (await app.core.tenants.get(tenant.id)).status === 'ACTIVE', 30_000);
    return tenant.id;
  };
  const { tenantPools } = app;
  const [standard, gold] = [await create('standard'), await create('gold')];
  const held = await Promise.all([standard, gold, gold].map((id) => hold(tenantPools, id)));
  const waiting = [standard, gold].map((id) =>
    expect(pidFor(tenantPools, id)).rejects.toMatchObject({ code: 'UNAVAILABLE' }),
  );
  await eventually(() => tenantPools.totals().waiting === 2, 10_000);
  expect([standard, gold].map(tenantPools.usage)).toEqual([
    { active: 1, idle: 0, waiting: 1 },
    { active: 2, idle: 0, waiting: 1 },
  ]);

  const stopped = app[Symbol.asyncDispose]();
  await Promise.all(waiting);
  for (const { session, pid, release } of held) {
    expect(await pidOf(session)).toBe(pid);
    await release();
  }
  await stopped;
  const left = await asAdministrator(
    database.administrator,
    `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
  );
  expect(left.rowCount).toBe(0);
});
