import { randomBytes } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { InvalidStateError } from '../../src/core/errors.ts';
import type { Operation } from '../../src/core/model.ts';
import { operationSteps, type StartableKind } from '../../src/core/operation-steps.ts';
import { openRegistry } from '../../src/db/open-registry.ts';
import { createTenantCredentials } from '../../src/db/tenant-credentials.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { eventually } from '../support/eventually.ts';
import { areGapless, connect, eventsOf, type Session, schemaOf, settled } from './worker-app.ts';

const encryptionKeys = [{ id: 'key', key: randomBytes(32) }];

let parts: AsyncDisposableStack;
let app: CoreApp;
let administrator: Session;
let passwordOf: (tenantId: string) => Promise<string>;

beforeAll(async () => {
  parts = new AsyncDisposableStack();
  app = parts.use(await startCore({ config: { encryptionKeys }, timings: { firstRetryMs: 20 } }));
  administrator = parts.use(await connect(app.app.administrator));
  const { keyRing } = await openRegistry(app.app.database, encryptionKeys);
  const password = createTenantCredentials(keyRing);
  passwordOf = (tenantId) => password({ query: app.sql }, tenantId);
});
afterAll(() => parts?.disposeAsync());

const mend = () => administrator.query('DROP FUNCTION IF EXISTS meddle CASCADE');
afterEach(mend);

/** What is done when watchers are told this of a step, in the transaction of its work. */
async function meddle(step: string, told: string, deed: string): Promise<void> {
  await administrator.query(`
    CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
      IF NEW.step = '${step}' AND coalesce(NEW.message, NEW.status::text) = '${told}' THEN ${deed}; END IF;
      RETURN NEW;
    END $$;
    CREATE TRIGGER meddle BEFORE INSERT ON provisioning_events FOR EACH ROW EXECUTE FUNCTION meddle()`);
}

/** A step that cannot be done, or undone, any more: 55000 is given up at once, 40001 tried again. */
const refuse = (step: string, told = 'SUCCESS', code = '55000') =>
  meddle(step, told, `RAISE 'refused by the test' USING ERRCODE = '${code}'`);

/** How an operation of each kind is accepted; a PROVISION, with its tenant. */
const accept: Record<StartableKind, (tenantId: string) => Promise<unknown>> = {
  PROVISION: async () => {},
  SUSPEND: (id) => app.core.tenants.suspend(editor, id),
  RESUME: (id) => app.core.tenants.resume(editor, id),
  DELETE: (id) => app.core.tenants.remove(editor, id),
  RESTORE: (id) => app.core.tenants.restore(editor, id),
};

async function succeed(kind: StartableKind, id: string): Promise<void> {
  await accept[kind](id);
  expect((await settled(app, id)).operation).toMatchObject({ kind, state: 'SUCCEEDED' });
}

/** A tenant with a row, as it is before an operation of this kind. */
async function tenantBefore(kind: Exclude<StartableKind, 'PROVISION'>): Promise<string> {
  const { id } = (await app.core.tenants.create(editor, newTenant())).tenant;
  await succeed('PROVISION', id);
  await administrator.query(
    `INSERT INTO ${schemaOf(id)}.users (email, display_name) VALUES ('a@b.example', 'A')`,
  );
  if (kind === 'RESUME') await succeed('SUSPEND', id);
  if (kind === 'RESTORE') await succeed('DELETE', id);
  return id;
}

/** The operation of this kind, of a new tenant when none is named, once it has failed for good at this step. */
async function fail(kind: StartableKind, step: string, tenantId?: string): Promise<Operation> {
  await refuse(step);
  const id = tenantId ?? (await app.core.tenants.create(editor, newTenant())).tenant.id;
  await accept[kind](id);
  const { operation } = await settled(app, id);
  expect(operation).toMatchObject({ kind, state: 'FAILED', attempt: 1, error: 'refused by the test' });
  await mend();
  return operation;
}

/** A tenant whose operation failed so, and what it was before. */
async function failedAt(kind: StartableKind, step: string) {
  const before = kind === 'PROVISION' ? undefined : await tenantBefore(kind);
  const was = before === undefined ? null : await everythingOf(before);
  const operation = await fail(kind, step, before);
  return { id: operation.tenantId, was, operation };
}

/** What there is of a tenant, in the registry and in PostgreSQL, and whether its login is let in. */
async function everythingOf(id: string) {
  const schema = schemaOf(id);
  const registry = await app.sql(
    `SELECT status, deleted_at IS NOT NULL AS deleted, schema_version, password
     FROM tenants LEFT JOIN tenant_credentials ON tenant_id = id WHERE id = $1`,
    [id],
  );
  const roles = await administrator.query(
    'SELECT oid, rolname, rolcanlogin FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY rolname',
    [schema],
  );
  const tables = await administrator.query(
    'SELECT relname, relowner, relacl::text FROM pg_class WHERE relnamespace = to_regnamespace($1) ORDER BY relname',
    [schema],
  );
  const rows = tables.length > 0 ? await administrator.query(`SELECT email FROM ${schema}.users`) : [];
  await using session = registry[0]?.password ? await login(id) : null;
  return { registry, roles, tables, rows, letsIn: session !== null };
}

/** A session of the tenant's login, or null when it is not let in. */
async function login(id: string): Promise<Session | null> {
  // Without a password, one would be made.
  const stored = await app.sql('SELECT FROM tenant_credentials WHERE tenant_id = $1', [id]);
  if (stored.length === 0) return null;
  try {
    const user = `${schemaOf(id)}_app`;
    return await connect({ ...app.app.database, user, password: await passwordOf(id) });
  } catch (error) {
    expect(error).toMatchObject({ code: '28000' });
    return null;
  }
}

const isAlive = (session: Session) =>
  session.query('SELECT FROM users').then(
    () => true,
    () => false,
  );

async function cancelled(operation: Operation): Promise<void> {
  const accepted = await app.core.operations.cancel(editor, operation.id);
  expect(accepted.operation).toMatchObject({ state: 'PENDING', cancelling: true, attempt: 0, error: null });
  const { operation: ended } = await settled(app, operation.tenantId);
  expect(ended).toEqual({
    ...accepted.operation,
    state: 'CANCELLED',
    lastSequence: (await eventsOf(app, operation.tenantId)).length,
    attempt: 1,
    fence: accepted.operation.fence + 1,
    startedAt: expect.any(Date),
    finishedAt: expect.any(Date),
  });
}

async function expectNothingLeftToDo(id: string): Promise<void> {
  expect(areGapless(await eventsOf(app, id))).toBe(true);
  const left = `SELECT FROM operations WHERE tenant_id = $1
    AND (lease_until IS NOT NULL OR EXISTS (SELECT FROM graphile_worker.jobs WHERE key = 'operation:' || id))`;
  await eventually(async () => (await app.sql(left, [id])).length === 0, 10_000);
}

describe.each(['SUSPEND', 'RESUME', 'RESTORE'] as const)('a failed %s that is cancelled', (kind) => {
  test.each(operationSteps[kind])('at %s leaves all as it was, and may come again', async (step) => {
    const { id, was, operation } = await failedAt(kind, step);
    await using session = await login(id);
    await cancelled(operation);
    // Whoever came in meanwhile stays in only where the login was open before.
    if (session) expect(await isAlive(session)).toBe(was?.letsIn);
    expect(await everythingOf(id)).toEqual(was);
    await expectNothingLeftToDo(id);
    await succeed(kind, id);
  });
});

describe('a failed PROVISION that is cancelled', () => {
  test.each(operationSteps.PROVISION)(
    'at %s leaves nothing, and a restoration provisions anew',
    async (step) => {
      const { id, operation } = await failedAt('PROVISION', step);
      await cancelled(operation);
      expect(await everythingOf(id)).toEqual({
        registry: [{ status: 'ERROR', deleted: true, schema_version: 0, password: null }],
        roles: [],
        tables: [],
        rows: [],
        letsIn: false,
      });
      await expectNothingLeftToDo(id);
      const { tenant } = await app.core.tenants.restore(editor, id);
      expect(tenant).toMatchObject({ status: 'PROVISIONING', deletedAt: null });
      const end = await settled(app, id);
      expect(end.operation).toMatchObject({ kind: 'PROVISION', state: 'SUCCEEDED', attempt: 1 });
      expect(end.tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 2, deletedAt: null });
      expect((await everythingOf(id)).letsIn).toBe(true);
    },
  );
});

describe('a failed DELETE', () => {
  test.each(operationSteps.DELETE)(
    'at %s cannot be cancelled; a retry brings it to its end',
    async (step) => {
      const { id, operation } = await failedAt('DELETE', step);
      await expect(app.core.operations.cancel(editor, operation.id)).rejects.toEqual(
        new InvalidStateError('A deletion cannot be cancelled; restoring the tenant takes it back.'),
      );
      await app.core.operations.retry(editor, operation.id);
      expect((await settled(app, id)).operation).toMatchObject({ state: 'SUCCEEDED', attempt: 1 });
      const { registry, rows, letsIn } = await everythingOf(id);
      expect([registry[0]?.deleted, rows, letsIn]).toEqual([true, [{ email: 'a@b.example' }], false]);
      await expectNothingLeftToDo(id);
    },
  );
});

/** What watchers are told of an operation that fails at its last step and is cancelled. */
function toldOf(kind: StartableKind, files: readonly string[], undone: readonly string[]): string[] {
  const steps: readonly string[] = operationSteps[kind];
  const done = steps.flatMap((step, count) => [
    `RUNNING ${step} IN_PROGRESS ${count}`,
    ...(step === 'apply_migrations'
      ? files.map((name) => `RUNNING ${step} IN_PROGRESS ${count} ${name} applied`)
      : []),
    ...(count < steps.length - 1
      ? [`RUNNING ${step} SUCCESS ${count + 1}`]
      : [
          `FAILED ${step} FAILED ${count} refused by the test`,
          `PENDING ${step} PENDING ${count} cancelling`,
        ]),
  ]);
  const back = undone.flatMap((step) => [
    `RUNNING ${step} IN_PROGRESS ${steps.indexOf(step)} undoing`,
    `RUNNING ${step} PENDING ${steps.indexOf(step)} undone`,
  ]);
  return [`PENDING ${steps[0]} PENDING 0`, ...done, ...back, `CANCELLED ${steps[0]} PENDING 0 cancelled`];
}

test.each([
  ['PROVISION', ['create_schema', 'create_role']],
  ['SUSPEND', ['end_sessions', 'revoke_access']],
  ['RESUME', ['grant_access', 'end_sessions']],
  ['RESTORE', ['restore_access', 'end_sessions']],
] as const)(
  'a %s that is cancelled tells of its undoing, step by step back to the beginning',
  async (kind, undone) => {
    const { id, operation } = await failedAt(kind, operationSteps[kind].at(-1) ?? '');
    await cancelled(operation);
    const events = (await eventsOf(app, id)).filter(({ operationId }) => operationId === operation.id);
    const told = events.map(({ operationState, step, status, completedSteps, message }) =>
      `${operationState} ${step} ${status} ${completedSteps} ${message ?? ''}`.trim(),
    );
    expect(told).toEqual(toldOf(kind, ['0001_workspace.sql', '0002_projects.sql'], undone));
    const { length } = operationSteps[kind];
    expect(events).toEqual(events.map((event) => ({ ...event, kind, totalSteps: length })));
    const steps =
      'SELECT status, started_at, finished_at, error FROM operation_steps WHERE operation_id = $1';
    const never = { status: 'PENDING', started_at: null, finished_at: null, error: null };
    expect(await app.sql(steps, [operation.id])).toEqual(Array(length).fill(never));
  },
);

describe('an undoing that fails', () => {
  test.each([
    ['at once', '55000', 1, 'retry'],
    ['five times', '40001', 5, 'cancel'],
  ] as const)('%s (%s) is FAILED after %i tries, and goes on with a %s', async (_, code, tries, verb) => {
    const { id, was, operation } = await failedAt('SUSPEND', 'deactivate');
    await refuse('revoke_access', 'undone', code);
    await app.core.operations.cancel(editor, operation.id);
    const failed = { state: 'FAILED', cancelling: true, attempt: tries, error: 'refused by the test' };
    expect((await settled(app, id)).operation).toMatchObject(failed);
    expect((await everythingOf(id)).letsIn).toBe(false);
    await mend();
    const { operation: again } = await app.core.operations[verb](editor, operation.id);
    expect(again).toMatchObject({ state: 'PENDING', cancelling: true, attempt: 0, error: null });
    expect((await settled(app, id)).operation).toMatchObject({ state: 'CANCELLED', attempt: 1, error: null });
    expect(await everythingOf(id)).toEqual(was);
    await expectNothingLeftToDo(id);
  });
});

describe('whoever logs in at the last moment is logged out', () => {
  test.each(['RESUME', 'RESTORE'] as const)('when a %s is cancelled', async (kind) => {
    const { id, operation } = await failedAt(kind, operationSteps[kind][1]);
    // The undoing has done its work and is not committed yet.
    await administrator.query('SELECT pg_advisory_lock(42)');
    await meddle(operationSteps[kind][1], 'undone', 'PERFORM pg_advisory_xact_lock(42)');
    await app.core.operations.cancel(editor, operation.id);
    const waiting = `SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = 42
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`;
    await eventually(async () => (await administrator.query(waiting)).length === 1, 20_000);
    await using session = await login(id);
    await administrator.query('SELECT pg_advisory_unlock(42)');
    expect((await settled(app, id)).operation.state).toBe('CANCELLED');
    if (session) expect(await isAlive(session)).toBe(false);
    expect((await everythingOf(id)).letsIn).toBe(false);
  });
});

test('nobody logs in while a tenant that was suspended is restored, however it was left', async () => {
  const id = await tenantBefore('RESUME');
  await fail('RESUME', 'activate', id);
  await fail('DELETE', 'revoke_access', id);
  const operation = await fail('RESTORE', 'verify_isolation', id);
  expect((await everythingOf(id)).letsIn).toBe(false);
  await app.core.operations.retry(editor, operation.id);
  expect((await settled(app, id)).tenant).toMatchObject({ status: 'INACTIVE', deletedAt: null });
  expect((await everythingOf(id)).letsIn).toBe(false);
});
