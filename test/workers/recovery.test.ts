import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FencedOffError, type OperationJournal, type TakenOperation } from '../../src/core/ports.ts';
import { createOperationJournal } from '../../src/db/operation-journal.ts';
import { createPool } from '../../src/db/pool.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { nobodyRemembers } from '../support/uncached.ts';
import { areGapless, eventsOf, settled } from './worker-app.ts';

const leaseMs = 500;

let parts: AsyncDisposableStack;
let database: TestDatabase;
/** Accepts operations and runs none. */
let idle: CoreApp;
/** What a runner of a process writes that we then call dead. */
let journal: OperationJournal;

beforeAll(async () => {
  parts = new AsyncDisposableStack();
  database = parts.use(await createTestDatabase());
  idle = parts.use(await startCore({ database, worker: false }));
  const pool = createPool(database.settings, { max: 5, name: 'dead', onError: () => {} });
  parts.defer(() => pool.end());
  journal = createOperationJournal({ pool, leaseMs, cache: nobodyRemembers });
});
afterAll(() => parts?.disposeAsync());

const startWorker = () => startCore({ database, timings: { leaseMs, sweepIntervalMs: 100 } });
const create = () => idle.core.tenants.create(editor, newTenant());

/** Locks the job of the operation as a worker of a process does, which then dies. */
async function lockAsDead(operationId: string): Promise<void> {
  const locked = await idle.sql(
    `UPDATE graphile_worker._private_jobs SET locked_at = now(), locked_by = 'dead', attempts = attempts + 1
     WHERE key = $1 RETURNING id`,
    [`operation:${operationId}`],
  );
  expect(locked).toHaveLength(1);
}

async function takeAsDead(operationId: string): Promise<TakenOperation> {
  await lockAsDead(operationId);
  const taken = await journal.take(operationId);
  if (taken === null) throw new Error('the operation was not to be had');
  return taken;
}

const jobsLeft = () =>
  idle.sql(`SELECT key, locked_by, last_error FROM graphile_worker.jobs WHERE task_identifier = 'operation'`);

describe('an operation is finished by another worker, in seconds, after its own died', () => {
  test.each<[string, (operationId: string) => Promise<unknown>]>([
    ['before it took it', lockAsDead],
    ['behind taking it', takeAsDead],
    ['in the middle of a step', async (id) => journal.begin(await takeAsDead(id), 0)],
    [
      'between a failure and the retry',
      async (id) => {
        const taken = await takeAsDead(id);
        await journal.begin(taken, 0);
        await journal.fail(taken, 0, 'because', 50);
      },
    ],
    [
      'and the queue lost the job',
      async (id) => {
        await takeAsDead(id);
        await idle.sql('DELETE FROM graphile_worker._private_jobs WHERE key = $1', [`operation:${id}`]);
      },
    ],
  ])('%s', async (_, die) => {
    const { tenant, operation } = await create();
    await die(operation.id);
    const began = Date.now();
    await using worker = await startWorker();
    const end = await settled(worker, tenant.id);
    expect(end.tenant.status).toBe('ACTIVE');
    expect(end.operation).toMatchObject({ id: operation.id, state: 'SUCCEEDED' });
    expect(Date.now() - began).toBeLessThan(20_000);
    expect(areGapless(await eventsOf(worker, tenant.id))).toBe(true);
    await eventually(async () => (await jobsLeft()).length === 0, 20_000);
  });
});

test('a worker that was only thought dead finds that its operation belongs to another one', async () => {
  const { tenant, operation } = await create();
  const taken = await takeAsDead(operation.id);
  await journal.begin(taken, 0);
  const [atWork, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  const late = journal.perform(taken, 0, 1, async (sql) => {
    await sql.query('CREATE TABLE public.late ()');
    atWork.resolve();
    await goOn.promise;
  });
  const fencedOff = expect(late).rejects.toBeInstanceOf(FencedOffError);
  await atWork.promise;
  await using worker = await startWorker();
  const end = await settled(worker, tenant.id);
  expect(end.operation).toMatchObject({ state: 'SUCCEEDED', fence: 2 });
  const events = await eventsOf(worker, tenant.id);
  goOn.resolve();
  await fencedOff;
  expect(await eventsOf(worker, tenant.id)).toEqual(events);
  expect(await idle.sql(`SELECT to_regclass('public.late') AS late`)).toEqual([{ late: null }]);
});

test('a worker keeps an operation that takes much longer than its lease', async () => {
  const lock = database.administrator;
  const { tenant, operation } = await create();
  const holder = createPool(lock, { max: 1, name: 'holder', onError: () => {} });
  try {
    // The step that makes the schema waits for whoever looks at the list of schemas.
    await holder.query('BEGIN; LOCK TABLE pg_catalog.pg_namespace IN SHARE MODE');
    await using worker = await startWorker();
    await eventually(async () => (await renewals(operation.id)) > 4, 30_000);
    await holder.query('ROLLBACK');
    expect((await settled(worker, tenant.id)).operation).toMatchObject({
      state: 'SUCCEEDED',
      fence: 1,
      attempt: 1,
    });
  } finally {
    await holder.end();
  }
});

const seen = new Map<string, Set<string>>();

/** How many different leases the operation was seen to have. */
async function renewals(operationId: string): Promise<number> {
  const [row] = await idle.sql('SELECT lease_until::text AS lease FROM operations WHERE id = $1', [
    operationId,
  ]);
  const leases = seen.get(operationId) ?? new Set();
  seen.set(operationId, leases.add(String(row?.lease)));
  return leases.size;
}
