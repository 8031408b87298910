import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { FencedOffError, type OperationJournal, type TakenOperation } from '../../src/core/ports.ts';
import { createOperationJournal } from '../../src/db/operation-journal.ts';
import { createPool } from '../../src/db/pool.ts';
import type { Timings } from '../../src/timings.ts';
import { type CoreApp, editor, newTenant, outcomes, startCore } from '../core/core-app.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { nobodyRemembers } from '../support/uncached.ts';
import {
  areGapless,
  connect,
  eventsOf,
  migrationFiles,
  type Session,
  schemaOf,
  settled,
} from './worker-app.ts';

const timings = { leaseMs: 600, sweepIntervalMs: 100, firstRetryMs: 20 };

let parts: AsyncDisposableStack;
let database: TestDatabase;
/** Accepts operations and runs none. */
let idle: CoreApp;
/** What a runner of a process writes that we then call dead. */
let journal: OperationJournal;
let administrator: Session;

beforeAll(async () => {
  parts = new AsyncDisposableStack();
  database = parts.use(await createTestDatabase());
  idle = parts.use(await startCore({ database, worker: false }));
  administrator = parts.use(await connect(database.administrator));
  const pool = createPool(database.settings, { max: 5, name: 'dead', onError: () => {} });
  parts.defer(() => pool.end());
  journal = createOperationJournal({ pool, leaseMs: timings.leaseMs, cache: nobodyRemembers });
});
afterAll(() => parts?.disposeAsync());

const startWorker = (more: Partial<Timings> = {}) =>
  startCore({ database, timings: { ...timings, ...more } });

const mend = () => administrator.query('DROP FUNCTION IF EXISTS refuse CASCADE');
afterEach(mend);

/** A step that cannot be done any more; 55000 is given up at once, 40001 tried again. */
async function refuse(step: string, code = '55000'): Promise<void> {
  await administrator.query(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF NEW.step = '${step}' AND NEW.status = 'SUCCESS' THEN RAISE 'refused by the test' USING ERRCODE = '${code}'; END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON provisioning_events FOR EACH ROW EXECUTE FUNCTION refuse()`);
}

async function active(app: CoreApp): Promise<string> {
  const { tenant } = await app.core.tenants.create(editor, newTenant());
  expect((await settled(app, tenant.id)).tenant.status).toBe('ACTIVE');
  return tenant.id;
}

/** A tenant whose PROVISION failed for good at its last step. */
async function failed(app: CoreApp): Promise<{ id: string; operationId: string }> {
  await refuse('activate');
  const { tenant, operation } = await app.core.tenants.create(editor, newTenant());
  expect((await settled(app, tenant.id)).operation.state).toBe('FAILED');
  await mend();
  return { id: tenant.id, operationId: operation.id };
}

/** What there is of the tenant in PostgreSQL. */
async function remains(id: string, on = administrator) {
  const [found] = await on.query(
    `SELECT to_regnamespace($1) IS NOT NULL AS schema,
       (SELECT count(*)::int FROM pg_roles WHERE starts_with(rolname, $1)) AS roles,
       EXISTS (SELECT FROM pg_roles WHERE rolname = $1 || '_app' AND rolcanlogin) AS login,
       EXISTS (SELECT FROM pg_stat_activity WHERE usename = $1 || '_app') AS sessions`,
    [schemaOf(id)],
  );
  return found;
}
const nothing = { schema: false, roles: 0, login: false, sessions: false };
const locked = { schema: true, roles: 3, login: false, sessions: false };
const open = { ...locked, login: true };

describe('a cancellation in the middle of a step', () => {
  test.each([
    ['PROVISION', nothing],
    ['RESTORE', locked],
  ] as const)('of a %s does not wait for it, and nothing of the step remains', async (kind, left) => {
    await using files = await migrationFiles({
      '0001_slow.sql':
        'CREATE TABLE IF NOT EXISTS slow (); SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock(42);',
    });
    await using app = await startCore({ config: { tenantMigrations: files.directory }, timings });
    await using other = await connect(app.app.administrator);
    const { tenants, operations } = app.core;
    let id = '';
    if (kind === 'RESTORE') {
      id = await active(app);
      await tenants.remove(editor, id);
      await settled(app, id);
      await app.sql('UPDATE tenants SET schema_version = 0');
    }
    await other.query('SELECT pg_advisory_lock(42)');
    const { tenant, operation } = await (id
      ? tenants.restore(editor, id)
      : tenants.create(editor, newTenant()));
    const waiting = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 42 AND NOT granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
    await eventually(async () => (await other.query(waiting)).length === 1, 20_000);
    await operations.cancel(editor, operation.id);
    const end = await settled(app, tenant.id);
    expect(end.operation).toMatchObject({ kind, state: 'CANCELLED', attempt: 1, error: null });
    expect(end.tenant).toMatchObject({ deletedAt: expect.any(Date), schemaVersion: 0 });
    await eventually(async () => (await other.query(waiting)).length === 0, 5_000);
    const events = await eventsOf(app, tenant.id);
    expect(areGapless(events)).toBe(true);
    expect(events.filter(({ status }) => status === 'FAILED')).toEqual([]);
    expect(await remains(tenant.id, other)).toEqual(left);
  });
});

test('a cancellation of what waits for its retry does not wait', async () => {
  await using app = await startWorker({ firstRetryMs: 60_000 });
  const id = await active(app);
  await refuse('end_sessions', '40001');
  const { operation } = await app.core.tenants.suspend(editor, id);
  await eventually(async () => (await app.core.operations.find(operation.id))?.nextAttemptAt, 20_000);
  const { operation: accepted } = await app.core.operations.cancel(editor, operation.id);
  expect(accepted).toMatchObject({ state: 'PENDING', error: null, nextAttemptAt: null });
  const end = await settled(app, id);
  expect(end.tenant.status).toBe('ACTIVE');
  expect(end.operation).toMatchObject({ state: 'CANCELLED', attempt: 1 });
  expect(await remains(id)).toEqual(open);
});

test('a deletion in the middle of an undoing takes over, and a restoration provisions anew', async () => {
  await using app = await startWorker();
  await using holder = await connect(database.administrator);
  const { id, operationId } = await failed(app);
  await holder.query(`BEGIN; LOCK TABLE ${schemaOf(id)}.users IN ACCESS SHARE MODE`);
  await app.core.operations.cancel(editor, operationId);
  const waiting = `SELECT FROM pg_locks WHERE NOT granted AND relation = $1::regclass`;
  const waiters = async () => (await administrator.query(waiting, [`${schemaOf(id)}.users`])).length;
  await eventually(async () => (await waiters()) === 1, 20_000);
  await app.core.tenants.remove(editor, id);
  expect((await settled(app, id)).operation).toMatchObject({ kind: 'DELETE', state: 'SUCCEEDED' });
  expect(await app.core.operations.find(operationId)).toMatchObject({ state: 'CANCELLED', leaseUntil: null });
  await eventually(async () => (await waiters()) === 0, 20_000);
  expect(await remains(id)).toEqual(locked);
  await holder.query('ROLLBACK');
  await app.core.tenants.restore(editor, id);
  const end = await settled(app, id);
  expect(end.operation).toMatchObject({ kind: 'PROVISION', state: 'SUCCEEDED', attempt: 1, error: null });
  expect(end.tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 2 });
  expect(areGapless(await eventsOf(app, id))).toBe(true);
});

describe('an undoing is finished by another worker after its own', () => {
  /** An operation that is to be undone, and nobody does it. */
  async function cancelling(): Promise<{ id: string; operationId: string }> {
    await using before = await startWorker();
    const left = await failed(before);
    await before[Symbol.asyncDispose]();
    await idle.core.operations.cancel(editor, left.operationId);
    return left;
  }

  async function takeAsDead(operationId: string): Promise<TakenOperation> {
    await idle.sql(
      `UPDATE graphile_worker._private_jobs SET locked_at = now(), locked_by = 'dead', attempts = attempts + 1 WHERE key = $1`,
      [`operation:${operationId}`],
    );
    const taken = await journal.take(operationId);
    if (taken === null) throw new Error('the operation was not to be had');
    return taken;
  }

  test.each<[string, (taken: TakenOperation) => Promise<unknown>]>([
    ['died behind taking it', async () => {}],
    ['died in the middle of a step', (taken) => journal.begin(taken, 2)],
    ['died between a failure and the retry', (taken) => journal.fail(taken, 2, 'because', 50)],
  ])('%s', async (_, die) => {
    const { id, operationId } = await cancelling();
    await die(await takeAsDead(operationId));
    await using app = await startWorker();
    const end = await settled(app, id);
    expect(end.operation).toMatchObject({ state: 'CANCELLED', cancelling: true, error: null });
    expect(await remains(id)).toEqual(nothing);
    expect(areGapless(await eventsOf(app, id))).toBe(true);
  });

  test('was thought dead, which undoes nothing any more', async () => {
    const { id, operationId } = await cancelling();
    const taken = await takeAsDead(operationId);
    await journal.begin(taken, 2);
    const [atWork, goOn] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const late = journal.undo(taken, 2, 1, async (sql) => {
      await sql.query('CREATE TABLE public.late ()');
      atWork.resolve();
      await goOn.promise;
    });
    const fencedOff = expect(late).rejects.toBeInstanceOf(FencedOffError);
    await atWork.promise;
    await using app = await startWorker();
    const { operation } = await settled(app, id);
    expect(operation).toMatchObject({ state: 'CANCELLED', fence: taken.operation.fence + 1 });
    const events = await eventsOf(app, id);
    goOn.resolve();
    await fencedOff;
    expect(await eventsOf(app, id)).toEqual(events);
    expect(await idle.sql(`SELECT to_regclass('public.late') AS late`)).toEqual([{ late: null }]);
  });
});

test('a step that takes longer than its limit is ended and tried again, also when it is undone', async () => {
  await using app = await startWorker({ stepLimitMs: 400, firstRetryMs: 200 });
  await using holder = await connect(database.administrator);
  // A schema is neither made nor dropped then.
  const hold = () => holder.query('BEGIN; LOCK TABLE pg_catalog.pg_namespace IN SHARE MODE');
  const late = 'the step took longer than 0.4 seconds';
  const hindered = async (operationId: string) => {
    await eventually(async () => (await app.core.operations.find(operationId))?.error === late, 20_000);
    await holder.query('ROLLBACK');
  };
  await hold();
  const { tenant, operation } = await app.core.tenants.create(editor, newTenant());
  await hindered(operation.id);
  expect((await settled(app, tenant.id)).operation).toMatchObject({ state: 'SUCCEEDED', error: null });
  const { id, operationId } = await failed(app);
  await hold();
  await app.core.operations.cancel(editor, operationId);
  await hindered(operationId);
  expect((await settled(app, id)).operation).toMatchObject({ state: 'CANCELLED', error: null });
  expect(await remains(id)).toEqual(nothing);
});

describe('whatever is asked for at once', () => {
  const verbs = ['cancel', 'retry', 'remove', 'restore', 'suspend', 'resume', 'update'] as const;
  const verb = fc.constantFrom(...verbs);
  const pair = fc.tuple(fc.constantFrom('at once', 'while it runs', 'when it is done'), verb, verb);
  const seed = Date.now() % 2 ** 31;
  /** Of each tenant: when two calls come together, and which; several times. */
  const lives = fc.sample(fc.tuple(pair, pair, pair), { seed, numRuns: 24 });

  test('calls are done or refused with a reason, and every tenant ends in a state that is whole', async () => {
    await using app = await startCore({ database, timings: { firstRetryMs: 20 } });
    const { tenants, operations } = app.core;

    async function call(id: string, asked: (typeof verbs)[number]): Promise<unknown> {
      const { operationId, version } = await tenants.get(id, 'INCLUDE');
      if (asked === 'cancel' || asked === 'retry') return operations[asked](editor, operationId ?? '');
      if (asked === 'update')
        return tenants.update(editor, { id, tier: `tier ${version}`, expectedVersion: version });
      return tenants[asked](editor, id);
    }

    async function live(life: (typeof lives)[number]): Promise<string[]> {
      const { id } = (await tenants.create(editor, newTenant())).tenant;
      const ends: string[] = [];
      for (const [when, ...both] of life) {
        if (when === 'while it runs') {
          await eventually(async () => {
            const { operationId } = await tenants.get(id, 'INCLUDE');
            return (await operations.find(operationId ?? ''))?.state !== 'PENDING';
          }, 60_000);
        } else if (when === 'when it is done') await settled(app, id);
        ends.push(...(await outcomes(both.map((asked) => call(id, asked)))));
      }
      await settled(app, id);
      return [id, ...ends];
    }

    const ends = await Promise.all(lives.map(live));
    const known = /^(done|INVALID_STATE|NOT_FOUND|VERSION_CONFLICT)$/;
    const unknown = ends.flatMap(([, ...codes]) => codes).filter((code) => !known.test(code));
    expect(unknown, `seed ${seed}`).toEqual([]);
    for (const [id = ''] of ends) {
      const { tenant, operation } = await settled(app, id);
      const shown = `seed ${seed}: ${tenant.status} ${operation.kind} ${operation.state} ${operation.error}`;
      await eventually(async () => (await remains(id))?.sessions === false, 10_000);
      const kept = await remains(id);
      expect(operation.state, shown).toMatch(/^(SUCCEEDED|CANCELLED)$/);
      expect(areGapless(await eventsOf(app, id)), shown).toBe(true);
      if (operation.kind === 'PROVISION' && operation.state === 'CANCELLED') {
        expect(tenant, shown).toMatchObject({ deletedAt: expect.any(Date), schemaVersion: 0 });
        expect(kept, shown).toEqual(nothing);
      } else if (tenant.deletedAt !== null) expect(kept?.login, shown).toBe(false);
      else if (tenant.status === 'INACTIVE') expect(kept, shown).toEqual(locked);
      else expect([tenant.status, tenant.schemaVersion, kept], shown).toEqual(['ACTIVE', 2, open]);
    }
    const left = `SELECT FROM operations WHERE state IN ('PENDING', 'RUNNING') OR lease_until IS NOT NULL
      UNION ALL SELECT FROM graphile_worker.jobs WHERE task_identifier = 'operation'`;
    await eventually(async () => (await idle.sql(left)).length === 0, 20_000);
    expect(
      app.app.logged.filter((line) => /deadlock|could not serialize|"level":(50|60)/.test(line)),
    ).toEqual([]);
  }, 120_000);
});
