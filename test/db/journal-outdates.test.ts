import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { FencedOffError, type OperationJournal, type TakenOperation } from '../../src/core/ports.ts';
import { createOperationJournal } from '../../src/db/operation-journal.ts';
import { createPool } from '../../src/db/pool.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';

// Whoever remembers a tenant is told of a change by a worker before its commit, and of its version behind it.

let app: CoreApp;
let pool: pg.Pool;
let journal: OperationJournal;
let told: [tenantId: string, version: number | null][] = [];
let tenantId = '';
let taken: TakenOperation;

beforeAll(async () => {
  app = await startCore({ worker: false });
  pool = createPool(app.app.database, { max: 5, name: 'journal', onError: () => {} });
  journal = createOperationJournal({
    pool,
    leaseMs: 60_000,
    cache: { outdate: (id, version) => void told.push([id, version]) },
  });
});
afterAll(async () => {
  await pool?.end();
  await app?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  const { tenant, operation } = await app.core.tenants.create(editor, newTenant());
  const mine = await journal.take(operation.id);
  if (mine === null) throw new Error('the operation was not to be had');
  [tenantId, taken, told] = [tenant.id, mine, []];
  await journal.begin(taken, 0);
});

test('a step that changes nothing of the tenant tells nothing', async () => {
  await journal.perform(taken, 0, 1, async () => {});
  expect(told).toEqual([]);
});

test('a step tells what it changes, all in one version', async () => {
  await journal.perform(taken, 0, 1, async (_sql, { setSchemaVersion, setTenantStatus }) => {
    setSchemaVersion(2);
    setTenantStatus('ACTIVE');
  });
  expect(await app.stored(tenantId)).toMatchObject({ schemaVersion: 2, status: 'ACTIVE', version: 2 });
  expect(told).toEqual([
    [tenantId, null],
    [tenantId, 2],
  ]);
});

test('a step that fails tells nothing, one whose record is refused leaves the version open', async () => {
  const failing = journal.perform(taken, 0, 1, async (sql, { setTenantStatus }) => {
    setTenantStatus('ACTIVE');
    await sql.query('SELECT 1 / 0');
  });
  await expect(failing).rejects.toThrow('division by zero');
  expect(told).toEqual([]);

  await app.sql('UPDATE operations SET fence = fence + 1 WHERE id = $1', [taken.operation.id]);
  const lost = journal.perform(taken, 0, 1, async (_sql, { setTenantStatus }) => setTenantStatus('ACTIVE'));
  await expect(lost).rejects.toThrow(FencedOffError);
  expect(told).toEqual([[tenantId, null]]);
});

test('the failure of a provisioning tells of the status ERROR, a step that is to be retried of nothing', async () => {
  await journal.fail(taken, 0, 'no', 60_000);
  expect(told).toEqual([]);
  await app.sql(`UPDATE operations SET state = 'RUNNING', next_attempt_at = NULL WHERE id = $1`, [
    taken.operation.id,
  ]);
  await journal.fail(taken, 0, 'no', null);
  expect(await app.stored(tenantId)).toMatchObject({ status: 'ERROR', version: 2 });
  expect(told).toEqual([
    [tenantId, null],
    [tenantId, 2],
  ]);
});

test('the end of a cancellation tells of the deletion', async () => {
  await app.sql('UPDATE operations SET cancelling = true WHERE id = $1', [taken.operation.id]);
  await journal.finishCancelling(taken);
  expect(await app.stored(tenantId)).toMatchObject({ deletedAt: expect.any(Date), version: 2 });
  expect(told).toEqual([
    [tenantId, null],
    [tenantId, 2],
  ]);
});
