import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { OperationJournal, TakenOperation } from '../../src/core/ports.ts';
import { createOperationJournal } from '../../src/db/operation-journal.ts';
import { createPool } from '../../src/db/pool.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { nobodyRemembers } from '../support/uncached.ts';

let app: CoreApp;
let pool: pg.Pool;
let journal: OperationJournal;
let operationId = '';

beforeAll(async () => {
  app = await startCore({ worker: false });
  pool = createPool(app.app.database, { max: 5, name: 'sweep', onError: () => {} });
  journal = createOperationJournal({ pool, leaseMs: 60_000, cache: nobodyRemembers });
});
afterAll(async () => {
  await pool?.end();
  await app?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  // What earlier tests left unfinished is none of the sweep's business now.
  await app.sql(
    `UPDATE operations SET state = 'CANCELLED', finished_at = now(), next_attempt_at = NULL WHERE state IN ('PENDING', 'RUNNING')`,
  );
  operationId = (await app.core.tenants.create(editor, newTenant())).operation.id;
});

async function take(): Promise<TakenOperation> {
  const taken = await journal.take(operationId);
  if (taken === null) throw new Error('the operation was not to be had');
  return taken;
}

describe('the sweep', () => {
  const lockJob = (key: string) =>
    app.sql(
      `UPDATE graphile_worker._private_jobs SET locked_at = now() - interval '2 minutes', locked_by = 'dead', attempts = attempts + 1 WHERE key = $1`,
      [key],
    );
  const jobs = () =>
    app.sql(
      `SELECT key, locked_by, attempts < max_attempts AS alive FROM graphile_worker._private_jobs WHERE payload->>'operationId' = $1`,
      [operationId],
    );
  const age = () =>
    app.sql(`UPDATE operations SET lease_until = now() - interval '61 seconds' WHERE id = $1`, [operationId]);
  const queued = () => [{ key: `operation:${operationId}`, locked_by: null, alive: true }];

  test('frees the job of a dead worker', async () => {
    await take();
    await lockJob(`operation:${operationId}`);
    await age();
    expect(await journal.revive()).toBe(1);
    expect(await jobs()).toEqual(queued());
  });

  test('adds a job where there is none, or one that is never run again', async () => {
    await take();
    await age();
    await app.sql('SELECT graphile_worker.remove_job($1)', [`operation:${operationId}`]);
    expect(await journal.revive()).toBe(1);
    expect(await jobs()).toEqual(queued());
    await app.sql('UPDATE graphile_worker._private_jobs SET attempts = max_attempts WHERE key = $1', [
      `operation:${operationId}`,
    ]);
    expect(await journal.revive()).toBe(1);
    expect(await jobs()).toEqual(queued());
  });

  test('leaves alone what is under a lease, what waits in the queue, and what is finished', async () => {
    await app.sql(`UPDATE operations SET created_at = now() - interval '1 hour' WHERE id = $1`, [
      operationId,
    ]);
    expect(await journal.revive()).toBe(0);
    const taken = await take();
    await lockJob(`operation:${operationId}`);
    const before = await jobs();
    expect(await journal.revive()).toBe(0);
    await journal.fail(taken, 0, 'because', null);
    await age();
    expect(await journal.revive()).toBe(0);
    expect(await jobs()).toEqual(before);
  });

  test('removes the job that a retry has replaced, when its worker died before it could', async () => {
    const taken = await take();
    await lockJob(`operation:${operationId}`);
    await journal.begin(taken, 0);
    await journal.fail(taken, 0, 'because', 3_600_000);
    expect(await jobs()).toHaveLength(2);
    expect(await journal.revive()).toBe(0);
    expect(await jobs()).toEqual(queued());
  });

  test('by several processes at once adds one job', async () => {
    await take();
    await age();
    await app.sql('SELECT graphile_worker.remove_job($1)', [`operation:${operationId}`]);
    await Promise.all(Array.from({ length: 5 }, () => journal.revive()));
    expect(await jobs()).toEqual(queued());
  });
});
