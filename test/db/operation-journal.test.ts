import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { FencedOffError, type OperationJournal, type TakenOperation } from '../../src/core/ports.ts';
import { createOperationJournal } from '../../src/db/operation-journal.ts';
import { createPool } from '../../src/db/pool.ts';
import { activeTenant, type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { nobodyRemembers } from '../support/uncached.ts';

const leaseMs = 60_000;

let app: CoreApp;
let pool: pg.Pool;
let journal: OperationJournal;
let tenantId = '';
let operationId = '';

beforeAll(async () => {
  app = await startCore({ worker: false });
  pool = createPool(app.app.database, { max: 20, name: 'journal', onError: () => {} });
  journal = createOperationJournal({ pool, leaseMs, cache: nobodyRemembers });
});
afterAll(async () => {
  await pool?.end();
  await app?.[Symbol.asyncDispose]();
});

beforeEach(async () => {
  const { tenant, operation } = await app.core.tenants.create(editor, newTenant());
  tenantId = tenant.id;
  operationId = operation.id;
});

async function take(): Promise<TakenOperation> {
  const taken = await journal.take(operationId);
  if (taken === null) throw new Error('the operation was not to be had');
  return taken;
}

const nothing = async () => {};

const letLeaseRunOut = () =>
  app.sql(`UPDATE operations SET lease_until = now() - interval '1 millisecond' WHERE id = $1`, [
    operationId,
  ]);

/** All that a runner writes. */
async function written() {
  return {
    tenant: await app.sql('SELECT status, version FROM tenants WHERE id = $1', [tenantId]),
    operation: await app.sql(
      'SELECT state, attempt, fence, error, last_sequence FROM operations WHERE id = $1',
      [operationId],
    ),
    steps: await app.sql(
      'SELECT position, status, error FROM operation_steps WHERE operation_id = $1 ORDER BY position',
      [operationId],
    ),
    sequences: (
      await app.sql('SELECT sequence FROM provisioning_events WHERE tenant_id = $1 ORDER BY sequence', [
        tenantId,
      ])
    ).map(({ sequence }) => sequence),
  };
}

describe('an operation is taken', () => {
  test('by one of twenty that try at once', async () => {
    const tries = await Promise.all(Array.from({ length: 20 }, () => journal.take(operationId)));
    const [taken, ...more] = tries.filter((result) => result !== null);
    expect(more).toEqual([]);
    expect(taken?.operation).toMatchObject({
      id: operationId,
      state: 'RUNNING',
      attempt: 1,
      fence: 1,
      startedAt: expect.any(Date),
      nextAttemptAt: null,
    });
    expect(taken?.steps).toEqual(
      ['create_role', 'create_schema', 'apply_migrations', 'verify_isolation', 'activate'].map(
        (name, position) => ({ position, name, status: 'PENDING' }),
      ),
    );
    const [lease] = await app.sql(
      'SELECT extract(epoch FROM lease_until - clock_timestamp())::float8 AS seconds FROM operations WHERE id = $1',
      [operationId],
    );
    expect(lease?.seconds).toBeGreaterThan(50);
    expect(lease?.seconds).toBeLessThanOrEqual(60);
  });

  test('again when its lease has run out, under a higher fence, with what is done', async () => {
    const first = await take();
    await journal.begin(first, 0);
    await journal.perform(first, 0, 1, nothing);
    await letLeaseRunOut();
    const second = await take();
    expect(second.operation).toMatchObject({ fence: 2, attempt: 1, startedAt: first.operation.startedAt });
    expect(second.steps.map(({ status }) => status)).toEqual([
      'SUCCESS',
      'IN_PROGRESS',
      'PENDING',
      'PENDING',
      'PENDING',
    ]);
  });

  test('not before its retry is due, not when it is finished, not when it is unknown', async () => {
    const taken = await take();
    await journal.begin(taken, 0);
    await journal.fail(taken, 0, 'because', 3_600_000);
    expect(await journal.take(operationId)).toBeNull();
    await app.sql('UPDATE operations SET next_attempt_at = now() WHERE id = $1', [operationId]);
    const again = await take();
    await journal.fail(again, 0, 'because', null);
    expect(await journal.take(operationId)).toBeNull();
    expect(await journal.take(randomUUID())).toBeNull();
  });
});

describe('a runner that holds its lease', () => {
  test('lengthens it', async () => {
    const taken = await take();
    await app.sql(`UPDATE operations SET lease_until = now() + interval '1 second' WHERE id = $1`, [
      operationId,
    ]);
    expect(await journal.renew(taken)).toBe(true);
    const rows = await app.sql(
      `SELECT lease_until > now() + interval '50 seconds' AS longer FROM operations WHERE id = $1`,
      [operationId],
    );
    expect(rows).toEqual([{ longer: true }]);
  });

  test('tells each beginning and end with the next sequence', async () => {
    const taken = await take();
    const begun = await journal.begin(taken, 0);
    const done = await journal.perform(taken, 0, 1, async (_sql, news) => news.note('a part'));
    const common = {
      tenantId,
      operationId,
      kind: 'PROVISION',
      step: 'create_role',
      totalSteps: 5,
      message: null,
    };
    const running = {
      ...common,
      operationState: 'RUNNING',
      tenantStatus: 'PROVISIONING',
      createdAt: expect.any(Date),
    };
    expect([begun, ...done]).toEqual([
      { ...running, sequence: 2, status: 'IN_PROGRESS', completedSteps: 0 },
      { ...running, sequence: 3, status: 'IN_PROGRESS', completedSteps: 0, message: 'a part' },
      { ...running, sequence: 4, status: 'SUCCESS', completedSteps: 1 },
      { ...running, sequence: 5, step: 'create_schema', status: 'IN_PROGRESS', completedSteps: 1 },
    ]);
    const stored = await app.sql(
      'SELECT sequence, created_at FROM provisioning_events WHERE tenant_id = $1 AND sequence > 1 ORDER BY 1',
      [tenantId],
    );
    expect(stored).toEqual(
      [begun, ...done].map(({ sequence, createdAt }) => ({ sequence, created_at: createdAt })),
    );
  });

  test('writes a step and its work together or not at all', async () => {
    const taken = await take();
    await journal.begin(taken, 0);
    const before = await written();
    const failing = journal.perform(taken, 0, 1, async (sql) => {
      await sql.query('UPDATE tenants SET schema_version = 7 WHERE id = $1', [tenantId]);
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await written()).toEqual(before);
    await journal.perform(taken, 0, 1, async (sql) => {
      await sql.query('UPDATE tenants SET schema_version = 7 WHERE id = $1', [tenantId]);
    });
    expect(await app.sql('SELECT schema_version FROM tenants WHERE id = $1', [tenantId])).toEqual([
      { schema_version: 7 },
    ]);
  });

  test('ends the operation with its last step', async () => {
    const taken = await take();
    await journal.begin(taken, 0);
    for (const { position } of taken.steps) {
      await journal.perform(taken, position, position === 4 ? null : position + 1, nothing);
    }
    const after = await written();
    expect(after.operation).toEqual([
      { state: 'SUCCEEDED', last_sequence: 11, attempt: 1, fence: 1, error: null },
    ]);
    expect(after.sequences).toEqual(Array.from({ length: 11 }, (_, index) => index + 1));
    expect(await journal.renew(taken)).toBe(false);
  });
});

describe('a step that fails', () => {
  test('waits for its retry, whose job comes at that very moment', async () => {
    const taken = await take();
    await journal.begin(taken, 0);
    const event = await journal.fail(taken, 0, 'because', 3_600_000);
    expect(event).toMatchObject({
      operationState: 'PENDING',
      status: 'FAILED',
      message: 'because',
      tenantStatus: 'PROVISIONING',
    });
    const [row] = await app.sql(
      `SELECT state, error, lease_until, next_attempt_at = run_at AS together, next_attempt_at > now() + interval '59 minutes' AS later
       FROM operations JOIN graphile_worker.jobs ON key = 'operation:' || operations.id WHERE operations.id = $1`,
      [operationId],
    );
    expect(row).toEqual({
      state: 'PENDING',
      error: 'because',
      lease_until: null,
      together: true,
      later: true,
    });
  });

  test('for good leaves a tenant that is being provisioned in error, with the reason', async () => {
    const taken = await take();
    await journal.begin(taken, 0);
    const event = await journal.fail(taken, 0, 'because', null);
    expect(event).toMatchObject({
      operationState: 'FAILED',
      status: 'FAILED',
      tenantStatus: 'ERROR',
      message: 'because',
    });
    expect(await written()).toMatchObject({
      tenant: [{ status: 'ERROR' }],
      operation: [{ state: 'FAILED', error: 'because', last_sequence: 3 }],
      steps: [
        { position: 0, status: 'FAILED', error: 'because' },
        ...[1, 2, 3, 4].map((position) => ({ position, status: 'PENDING' })),
      ],
    });
  });

  test('of another operation leaves the status alone', async () => {
    tenantId = await activeTenant(app);
    operationId = (await app.core.tenants.suspend(editor, tenantId)).operation.id;
    const taken = await take();
    expect(await journal.fail(taken, 0, 'because', null)).toMatchObject({
      operationState: 'FAILED',
      tenantStatus: 'ACTIVE',
    });
  });
});

describe('a runner that lost its operation writes nothing any more', () => {
  test.each<[string, () => Promise<unknown>]>([
    [
      'to another runner',
      async () => {
        await letLeaseRunOut();
        await take();
      },
    ],
    ['to a deletion', () => app.core.tenants.remove(editor, tenantId)],
    ['to a cancellation', () => app.core.operations.cancel(editor, operationId)],
  ])('%s', async (_, lose) => {
    const taken = await take();
    await journal.begin(taken, 0);
    await lose();
    const before = await written();
    const table = `t${randomUUID().replaceAll('-', '')}`;
    const attempts = [
      () => journal.begin(taken, 0),
      () =>
        journal.perform(taken, 0, 1, async (sql) => {
          await sql.query(`CREATE TABLE public.${table} ()`);
        }),
      () => journal.advance(taken, 0, async (_sql, news) => news.note('a part')),
      () => journal.undo(taken, 0, null, nothing),
      () => journal.finishCancelling(taken),
      () => journal.fail(taken, 0, 'because', 1_000),
      () => journal.fail(taken, 0, 'because', null),
    ];
    for (const attempt of attempts) await expect(attempt()).rejects.toBeInstanceOf(FencedOffError);
    expect(await journal.renew(taken)).toBe(false);
    expect(await written()).toEqual(before);
    expect(await app.sql('SELECT to_regclass($1) AS left', [`public.${table}`])).toEqual([{ left: null }]);
  });

  test('also when it loses it in the middle of a step, and nobody waits for the other', async () => {
    const taken = await take();
    await journal.begin(taken, 0);
    const table = `t${randomUUID().replaceAll('-', '')}`;
    const [atWork, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const step = journal.perform(taken, 0, 1, async (sql) => {
      await sql.query(`CREATE TABLE public.${table} ()`);
      atWork.resolve();
      await goOn.promise;
    });
    const fencedOff = expect(step).rejects.toBeInstanceOf(FencedOffError);
    await atWork.promise;
    // While the step holds all that it holds, the lease can be renewed, and the tenant changed and deleted.
    expect(await journal.renew(taken)).toBe(true);
    await app.core.tenants.update(editor, { id: tenantId, name: 'Meanwhile' });
    await app.core.tenants.remove(editor, tenantId);
    const before = await written();
    goOn.resolve();
    await fencedOff;
    expect(await written()).toEqual(before);
    expect(before.sequences).toEqual([1, 2, 3, 4]);
    expect(await app.sql('SELECT to_regclass($1) AS left', [`public.${table}`])).toEqual([{ left: null }]);
  });
});

describe('an operation that is cancelled', () => {
  test('is undone from the last step that began to the first, and ends with its tenant deleted', async () => {
    const runner = await take();
    await journal.begin(runner, 0);
    await journal.perform(runner, 0, 1, nothing);
    await journal.perform(runner, 1, 2, nothing);
    await app.core.operations.cancel(editor, operationId);

    const taken = await take();
    expect(taken.operation).toMatchObject({ cancelling: true, state: 'RUNNING', attempt: 1, fence: 3 });
    expect(taken.steps.map(({ status }) => status)).toEqual([
      'SUCCESS',
      'SUCCESS',
      'IN_PROGRESS',
      'PENDING',
      'PENDING',
    ]);
    const events = [
      await journal.begin(taken, 1),
      ...(await journal.undo(taken, 1, 0, nothing)),
      ...(await journal.undo(taken, 0, null, nothing)),
      await journal.finishCancelling(taken),
    ];
    expect(
      events.map(({ operationState, step, status, completedSteps, message }) =>
        [operationState, step, status, completedSteps, message].join(' '),
      ),
    ).toEqual([
      'RUNNING create_schema IN_PROGRESS 1 undoing',
      'RUNNING create_schema PENDING 1 undone',
      'RUNNING create_role IN_PROGRESS 0 undoing',
      'RUNNING create_role PENDING 0 undone',
      'CANCELLED create_role PENDING 0 cancelled',
    ]);
    expect(await written()).toMatchObject({
      operation: [{ state: 'CANCELLED', error: null }],
      steps: [0, 1, 2, 3, 4].map((position) => ({ position, status: 'PENDING', error: null })),
      sequences: Array.from({ length: 12 }, (_, index) => index + 1),
    });
    expect((await app.core.tenants.get(tenantId, 'INCLUDE')).deletedAt).toEqual(expect.any(Date));
  });

  test('and whose undoing fails is FAILED, and goes on with that when it is retried', async () => {
    const runner = await take();
    await journal.begin(runner, 0);
    await journal.perform(runner, 0, 1, nothing);
    await app.core.operations.cancel(editor, operationId);
    const taken = await take();
    await journal.begin(taken, 0);
    expect(await journal.fail(taken, 0, 'because', null)).toMatchObject({ operationState: 'FAILED' });
    const { operation } = await app.core.operations.retry(editor, operationId);
    expect(operation).toMatchObject({ state: 'PENDING', cancelling: true, attempt: 0 });
    const again = await take();
    expect(again.steps.map(({ status }) => status).slice(0, 2)).toEqual(['FAILED', 'IN_PROGRESS']);
    await journal.begin(again, 0);
    await journal.undo(again, 0, null, nothing);
    expect(await journal.finishCancelling(again)).toMatchObject({ operationState: 'CANCELLED' });
  });
});

test('an operation that nobody brought to its end for a day is overdue', async () => {
  expect((await take()).overdue).toBe(false);
  await letLeaseRunOut();
  await app.sql(`UPDATE operations SET started_at = now() - interval '25 hours' WHERE id = $1`, [
    operationId,
  ]);
  expect((await take()).overdue).toBe(true);
});

test('what is told is kept as it is, whatever is in it', async () => {
  const taken = await take();
  const told = (what: string) => `${what}: it's "so" \\ \\' $1 %s; COMMIT; DROP TABLE x; --\n\u{1f600}`;
  await journal.begin(taken, 0);
  await journal.advance(taken, 0, async (_, news) => news.note(told('note')));
  await journal.fail(taken, 0, told('reason'), 1_000);
  const { operation, steps } = await written();
  expect([operation[0]?.error, steps[0]?.error]).toEqual([told('reason'), told('reason')]);
  const messages = await app.sql(
    'SELECT message FROM provisioning_events WHERE operation_id = $1 ORDER BY sequence DESC LIMIT 2',
    [operationId],
  );
  expect(messages.map(({ message }) => message)).toEqual([told('reason'), told('note')]);
});

describe('while an operation is run, its transactions', () => {
  async function backendOf(taken: TakenOperation, position: number): Promise<unknown> {
    let pid: unknown;
    await journal.perform(taken, position, position + 1, async (sql) => {
      pid = (await sql.query('SELECT pg_backend_pid() AS pid'))[0]?.pid;
    });
    return pid;
  }

  test('are made on one connection, which goes back to the pool', async () => {
    const taken = await take();
    await journal.during(taken, async () => {
      const first = await backendOf(taken, 0);
      // Who comes meanwhile gets others.
      const others = await Promise.all([pool.connect(), pool.connect()]);
      for (const other of others) other.release();
      expect(await backendOf(taken, 1)).toBe(first);
    });
    expect(pool.idleCount).toBe(pool.totalCount);
  });

  test('are made on another one when that has not been used for long', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    onTestFinished(() => void vi.useRealTimers());
    const taken = await take();
    await journal.during(taken, async () => {
      const first = await backendOf(taken, 0);
      vi.advanceTimersByTime(10_001);
      expect(await backendOf(taken, 1)).not.toBe(first);
    });
    expect(pool.idleCount).toBe(pool.totalCount);
  });

  test('are made on another one when that breaks, behind the one that finds it so', async () => {
    const taken = await take();
    await journal.during(taken, async () => {
      const first = await backendOf(taken, 0);
      await app.sql('SELECT pg_terminate_backend($1, 5000)', [first]);
      await expect(backendOf(taken, 1)).rejects.toThrow();
      expect(await backendOf(taken, 1)).not.toBe(first);
    });
    expect(pool.idleCount).toBe(pool.totalCount);
  });
});
