import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { InvalidStateError, NotFoundError, ValidationError } from '../../src/core/errors.ts';
import type { Operation } from '../../src/core/model.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { areGapless, connect, eventsOf, type Session, schemaOf, settled } from '../workers/worker-app.ts';
import { activeTenant, type CoreApp, countAll, editor, newTenant, outcomes, startCore } from './core-app.ts';

let parts: AsyncDisposableStack;
/** Without a worker: its operations wait for ever. */
let app: CoreApp;
/** The same on this database, where workers come and go. */
let idle: CoreApp;
let database: TestDatabase;
let administrator: Session;

beforeAll(async () => {
  parts = new AsyncDisposableStack();
  database = parts.use(await createTestDatabase());
  app = parts.use(await startCore({ worker: false }));
  idle = parts.use(await startCore({ database, worker: false }));
  administrator = parts.use(await connect(database.administrator));
});
afterAll(() => parts?.disposeAsync());

const mend = () => administrator.query('DROP FUNCTION IF EXISTS refuse CASCADE');
afterEach(mend);

/** A step that cannot be done any more. */
async function refuse(step: string): Promise<void> {
  await administrator.query(`
    CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF NEW.step = '${step}' AND NEW.status = 'SUCCESS' THEN RAISE 'refused by the test'; END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER refuse BEFORE INSERT ON provisioning_events FOR EACH ROW EXECUTE FUNCTION refuse()`);
}

const create = (on = app) => on.core.tenants.create(editor, newTenant());
const cancel = (id: string, on = app) => on.core.operations.cancel(editor, id);

/** Ends an operation as a worker would. */
const finish = (id: string, state: Operation['state']) =>
  app.sql(
    `UPDATE operations SET state = $2, started_at = now(), finished_at = now(), error = 'because', attempt = 5 WHERE id = $1`,
    [id, state],
  );

describe('a cancellation', () => {
  test('turns an operation round: it waits for a worker again, whoever had it is fenced off, and watchers hear of it', async () => {
    const { tenant, operation } = await create();
    await app.sql(
      `UPDATE operations SET state = 'RUNNING', attempt = 3, fence = 4, started_at = now(), lease_until = now() + interval '1 hour' WHERE id = $1`,
      [operation.id],
    );
    const accepted = await cancel(operation.id.toUpperCase());
    expect(accepted.operation).toEqual({
      ...operation,
      lastSequence: 2,
      state: 'PENDING',
      cancelling: true,
      attempt: 0,
      fence: 5,
      startedAt: null,
      leaseUntil: null,
    });
    // Nothing is undone yet.
    expect(accepted.tenant).toMatchObject({ status: 'PROVISIONING', deletedAt: null });
    expect(await app.core.operations.find(operation.id)).toEqual(accepted.operation);
    const [told] = await app.sql(
      `SELECT operation_state || ' ' || step || ' ' || status || ' ' || completed_steps || ' ' || message AS event,
         (SELECT run_at <= now() AND locked_at IS NULL FROM graphile_worker.jobs WHERE key = 'operation:' || operation_id) AS due
       FROM provisioning_events WHERE tenant_id = $1 AND sequence = 2`,
      [tenant.id],
    );
    expect(told).toEqual({ event: 'PENDING create_role PENDING 0 cancelling', due: true });
  });

  test('asked for by twenty at once happens once', async () => {
    const { operation } = await create();
    const all = Array.from({ length: 20 }, () => cancel(operation.id));
    expect(await outcomes(all)).toEqual([...Array(19).fill('INVALID_STATE'), 'done']);
    expect(await app.core.operations.find(operation.id)).toMatchObject({ lastSequence: 2 });
  });

  test('that fails is gone on with by a retry or by another cancellation', async () => {
    const { operation } = await create();
    await cancel(operation.id);
    for (const [index, verb] of (['retry', 'cancel'] as const).entries()) {
      await finish(operation.id, 'FAILED');
      const again = await app.core.operations[verb](editor, operation.id);
      expect(again.operation).toMatchObject({ state: 'PENDING', cancelling: true, attempt: 0, error: null });
      expect(again.operation.lastSequence).toBe(3 + index);
      expect(again.tenant.status).toBe('PROVISIONING');
    }
  });
});

describe('a cancellation is refused, and changes nothing,', () => {
  const ended = async (state: Operation['state']) => {
    const { operation } = await create();
    await finish(operation.id, state);
    return operation;
  };
  const older = async () => {
    const operation = await ended('FAILED');
    await app.core.tenants.remove(editor, operation.tenantId);
    return operation;
  };
  const cancelling = async () => (await cancel((await create()).operation.id)).operation;
  const deletion = async () => (await app.core.tenants.remove(editor, await activeTenant(app))).operation;
  const finished = 'Only an operation that is not finished, or failed, can be cancelled; this one is';

  test.each<[string, () => Promise<{ id: string } | null>, Error]>([
    ['of what succeeded', () => ended('SUCCEEDED'), new InvalidStateError(`${finished} SUCCEEDED.`)],
    ['of what is cancelled', () => ended('CANCELLED'), new InvalidStateError(`${finished} CANCELLED.`)],
    [
      'of what is being cancelled',
      cancelling,
      new InvalidStateError('The operation is being cancelled already.'),
    ],
    [
      'of a deletion',
      deletion,
      new InvalidStateError('A deletion cannot be cancelled; restoring the tenant takes it back.'),
    ],
    [
      'of what is not the newest',
      older,
      new InvalidStateError('Only the newest operation of a tenant can be cancelled.'),
    ],
    ['of the unknown', async () => ({ id: randomUUID() }), new NotFoundError('operation')],
    [
      'of nonsense',
      async () => ({ id: 'x' }),
      new ValidationError([{ path: '', message: 'must be a UUID' }]),
    ],
  ])('%s', async (_, prepare, error) => {
    const { id = '' } = (await prepare()) ?? {};
    const everything = async () => [
      await countAll(app),
      await app.sql('SELECT * FROM operations ORDER BY id'),
    ];
    const before = await everything();
    await expect(cancel(id)).rejects.toEqual(error);
    expect(await everything()).toEqual(before);
  });
});

describe('while an operation is being cancelled', () => {
  test('another one is refused and plain updates go through', async () => {
    const id = await activeTenant(app);
    const { operation } = await app.core.tenants.suspend(editor, id);
    await cancel(operation.id);
    const unfinished = new InvalidStateError(
      `The tenant's SUSPEND operation is not finished; wait for its end and try again.`,
    );
    for (const verb of ['suspend', 'resume'] as const) {
      await expect(app.core.tenants[verb](editor, id)).rejects.toEqual(unfinished);
    }
    await expect(app.core.tenants.restore(editor, id)).rejects.toEqual(
      new InvalidStateError('The tenant is not deleted; there is nothing to restore.'),
    );
    await expect(app.core.operations.retry(editor, operation.id)).rejects.toEqual(
      new InvalidStateError('Only a failed operation can be retried; this one is PENDING.'),
    );
    const { name, tier } = await app.core.tenants.update(editor, { id, name: 'Renamed', tier: 'gold' });
    expect([name, tier]).toEqual(['Renamed', 'gold']);
  });

  test('a deletion ends it at once', async () => {
    const id = await activeTenant(app);
    const { operation } = await app.core.tenants.suspend(editor, id);
    const { operation: cancelling } = await cancel(operation.id);
    expect((await app.core.tenants.remove(editor, id)).operation).toMatchObject({
      kind: 'DELETE',
      state: 'PENDING',
    });
    expect(await app.core.operations.find(operation.id)).toEqual({
      ...cancelling,
      lastSequence: cancelling.lastSequence + 1,
      state: 'CANCELLED',
      fence: cancelling.fence + 1,
      finishedAt: expect.any(Date),
    });
  });
});

/** The tenant in the registry, and whether its login is open; null when there is none. */
async function standing(id: string) {
  const rows = await idle.sql(
    `SELECT status, deleted_at IS NOT NULL AS deleted, schema_version AS version,
       (SELECT rolcanlogin FROM pg_roles WHERE rolname = $2) AS login FROM tenants WHERE id = $1`,
    [id, `${schemaOf(id)}_app`],
  );
  return rows[0];
}

test('what is cancelled before a worker took it is as it was, and as it should be where an earlier operation failed', async () => {
  const ids = new Map<string, string>();
  {
    await using worker = await startCore({ database });
    const { tenants } = worker.core;
    type Change = (by: typeof editor, id: string) => Promise<{ tenant: { id: string } }>;
    const after = async (change: Change, id: Promise<string> | string = '', failing?: string) => {
      const tenantId = await id;
      if (failing) await refuse(failing);
      const { tenant } = await change(editor, tenantId);
      await settled(worker, tenant.id);
      await mend();
      return tenant.id;
    };
    const active = () => after(() => create(worker));
    const suspended = () => after(tenants.suspend, active());
    const deleted = () => after(tenants.remove, active());
    const halfMade = () => after(() => create(worker), '', 'activate');
    const prepared: [name: string, tenantId: string, verb: 'suspend' | 'resume' | 'restore'][] = [
      ['SUSPEND', await active(), 'suspend'],
      ['RESUME', await suspended(), 'resume'],
      ['RESTORE', await deleted(), 'restore'],
      ['SUSPEND again', await after(tenants.suspend, active(), 'deactivate'), 'suspend'],
      ['RESUME again', await after(tenants.resume, suspended(), 'activate'), 'resume'],
      ['RESTORE instead', await after(tenants.remove, active(), 'revoke_access'), 'restore'],
      ['PROVISION again', await after(tenants.remove, halfMade()), 'restore'],
    ];
    await worker[Symbol.asyncDispose]();
    for (const [name, id, verb] of prepared) {
      await cancel((await idle.core.tenants[verb](editor, id)).operation.id, idle);
      ids.set(name, id);
    }
  }
  const { tenant, operation } = await create(idle);
  await cancel(operation.id, idle);
  ids.set('PROVISION', tenant.id);
  await using worker = await startCore({ database });
  const found = new Map<string, unknown>();
  for (const [name, id] of ids) {
    expect((await settled(worker, id)).operation, name).toMatchObject({ state: 'CANCELLED', attempt: 1 });
    expect(areGapless(await eventsOf(worker, id))).toBe(true);
    found.set(name, await standing(id));
  }
  const gone = { status: 'PROVISIONING', deleted: true, version: 0, login: null };
  const active = { status: 'ACTIVE', deleted: false, version: 2, login: true };
  const suspended = { status: 'INACTIVE', deleted: false, version: 2, login: false };
  const deleted = { status: 'ACTIVE', deleted: true, version: 2, login: false };
  expect(Object.fromEntries(found)).toEqual({
    SUSPEND: active,
    RESUME: suspended,
    RESTORE: deleted,
    'SUSPEND again': active,
    'RESUME again': suspended,
    'RESTORE instead': deleted,
    'PROVISION again': gone,
    PROVISION: gone,
  });
});

describe('what belongs to somebody else is not touched by an undoing', () => {
  test.each<[string, (schema: string) => string]>([
    ['schema', (schema) => `CREATE SCHEMA ${schema}`],
    ['role', (schema) => `CREATE ROLE ${schema}`],
  ])('a %s that was in the way of a PROVISION', async (kind, made) => {
    const { tenant, operation } = await create(idle);
    const schema = schemaOf(tenant.id);
    await administrator.query(made(schema));
    await using worker = await startCore({ database });
    const error = `the ${kind} ${schema} exists and is not this registry's`;
    expect((await settled(worker, tenant.id)).operation).toMatchObject({ state: 'FAILED', error });
    await cancel(operation.id, idle);
    expect((await settled(worker, tenant.id)).operation).toMatchObject({ state: 'CANCELLED', error: null });
    await administrator.query(`DROP ${kind} ${schema}`);
    expect(await standing(tenant.id)).toEqual({ status: 'ERROR', deleted: true, version: 0, login: null });
  });

  test('a login that became somebody else’s', async () => {
    await using worker = await startCore({ database });
    const { tenant } = await create(idle);
    await settled(worker, tenant.id);
    const login = `${schemaOf(tenant.id)}_app`;
    await administrator.query(`COMMENT ON ROLE ${login} IS 'another registry'; ALTER ROLE ${login} NOLOGIN`);
    const { operation } = await idle.core.tenants.suspend(editor, tenant.id);
    const failed = { state: 'FAILED', error: `the role ${login} exists and is not this registry's` };
    expect((await settled(worker, tenant.id)).operation).toMatchObject(failed);
    await cancel(operation.id, idle);
    expect((await settled(worker, tenant.id)).operation).toMatchObject({ ...failed, cancelling: true });
    expect(await standing(tenant.id)).toMatchObject({ status: 'ACTIVE', login: false });
  });
});

test('an operation that is overdue is FAILED with the reason, in either direction, and then has all its time again', async () => {
  const { tenant, operation } = await create(idle);
  const grow = () =>
    idle.sql(`UPDATE operations SET started_at = now() - interval '25 hours' WHERE id = $1`, [operation.id]);
  const overdue = { state: 'FAILED', error: 'it was tried for a day without coming to its end' };
  await grow();
  {
    await using worker = await startCore({ database });
    expect((await settled(worker, tenant.id)).operation).toMatchObject(overdue);
  }
  await cancel(operation.id, idle);
  await grow();
  await using worker = await startCore({ database });
  expect((await settled(worker, tenant.id)).operation).toMatchObject({ ...overdue, cancelling: true });
  await cancel(operation.id, idle);
  expect((await settled(worker, tenant.id)).operation).toMatchObject({ state: 'CANCELLED', error: null });
});
