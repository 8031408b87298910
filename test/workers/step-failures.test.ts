import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { asAdministrator, createTestDatabase, type TestDatabase } from '../support/database.ts';
import { areGapless, eventsOf, inState, migrationFiles, schemaOf, settled } from './worker-app.ts';

const timings = { firstRetryMs: 20 };

let database: TestDatabase;
let app: CoreApp;
/** The same registry, without a worker: its operations wait. */
let idle: CoreApp;

beforeAll(async () => {
  database = await createTestDatabase();
  idle = await startCore({ database, worker: false });
});
afterAll(async () => {
  await app?.[Symbol.asyncDispose]();
  await idle?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

const administer = (sql: string) => asAdministrator(database.administrator, sql);
const create = async (on: CoreApp) => (await on.core.tenants.create(editor, newTenant())).tenant.id;

/** A tenant that waits for its worker, what `prepare` does to the server meanwhile, and then a worker. */
async function provisionedAfter(
  prepare: (schema: string, tenantId: string) => Promise<unknown>,
): Promise<string> {
  await app?.[Symbol.asyncDispose]();
  const id = await create(idle);
  await prepare(schemaOf(id), id);
  app = await startCore({ database, timings });
  return id;
}

const summaries = async (tenantId: string) =>
  (await eventsOf(app, tenantId)).map(({ operationState, step, status, message }) =>
    `${operationState} ${step} ${status} ${message ?? ''}`.trim(),
  );

describe('at once, with the reason, fails', () => {
  test.each<[string, (schema: string) => string]>([
    ['owner', (schema) => schema],
    ['rights', (schema) => `${schema}_rows`],
    ['login', (schema) => `${schema}_app`],
  ])('a tenant whose %s role is somebody else’s', async (_, roleOf) => {
    let role = '';
    const id = await provisionedAfter((schema) => {
      role = roleOf(schema);
      return administer(`CREATE ROLE ${role}; COMMENT ON ROLE ${role} IS 'another registry'`);
    });
    const reason = `the role ${role} exists and is not this registry's`;
    const { tenant, operation } = await settled(app, id);
    expect(tenant.status).toBe('ERROR');
    expect(operation).toMatchObject({ state: 'FAILED', attempt: 1, error: reason });
    expect(await summaries(id)).toEqual([
      'PENDING create_role PENDING',
      'RUNNING create_role IN_PROGRESS',
      `FAILED create_role FAILED ${reason}`,
    ]);
    await administer(`DROP ROLE ${role}`);
    await app.core.operations.retry(editor, operation.id);
    expect((await settled(app, id)).tenant.status).toBe('ACTIVE');
  });

  test('a tenant whose schema is somebody else’s', async () => {
    const id = await provisionedAfter((schema) => administer(`CREATE SCHEMA ${schema}`));
    const { operation } = await settled(app, id);
    expect(operation).toMatchObject({
      state: 'FAILED',
      attempt: 1,
      error: `the schema ${schemaOf(id)} exists and is not this registry's`,
    });
    await administer(`DROP SCHEMA ${schemaOf(id)}`);
    await app.core.operations.retry(editor, operation.id);
    expect((await settled(app, id)).tenant.status).toBe('ACTIVE');
  });
});

test('what an earlier provisioning left behind is adopted, rows and all', async () => {
  app ??= await startCore({ database, timings });
  const id = await create(app);
  await settled(app, id);
  await administer(`INSERT INTO ${schemaOf(id)}.users (email, display_name) VALUES ('a@b.example', 'A')`);
  // As if its last step had failed.
  await app.sql(`UPDATE tenants SET status = 'ERROR' WHERE id = $1`, [id]);
  await app.core.tenants.remove(editor, id);
  await settled(app, id);
  expect((await app.core.tenants.restore(editor, id)).operation.kind).toBe('PROVISION');
  const { tenant, operation } = await settled(app, id);
  expect(tenant).toMatchObject({ status: 'ACTIVE', deletedAt: null });
  expect(operation).toMatchObject({ kind: 'PROVISION', state: 'SUCCEEDED', attempt: 1 });
  const { rows } = await administer(`SELECT email FROM ${schemaOf(id)}.users`);
  expect(rows).toEqual([{ email: 'a@b.example' }]);
  expect(areGapless(await eventsOf(app, id))).toBe(true);
});

test('a tenant that is not isolated ends in error with the reason, and comes up when that is mended', async () => {
  app ??= await startCore({ database, timings });
  await administer('GRANT SELECT ON public.tenants TO PUBLIC');
  const id = await create(app);
  const { tenant, operation } = await settled(app, id);
  expect(tenant).toMatchObject({ status: 'ERROR', schemaVersion: 2 });
  const error = 'the login of the tenant has rights on public.tenants; it must not';
  expect(operation).toMatchObject({ state: 'FAILED', attempt: 5, error });
  await administer('REVOKE SELECT ON public.tenants FROM PUBLIC');
  await app.core.operations.retry(editor, operation.id);
  expect((await settled(app, id)).tenant.status).toBe('ACTIVE');
  expect(areGapless(await eventsOf(app, id))).toBe(true);
}, 90_000);

describe('a tenant migration that is wrong', () => {
  const good = { '0001_first.sql': 'CREATE TABLE first (id int PRIMARY KEY);' };

  test('is named with the reason, at once; when it is mended, a retry goes on where it stood', async () => {
    await using own = await createTestDatabase();
    await using files = await migrationFiles({
      ...good,
      '0002_second.sql': 'CREATE TABLE half (); SELECT 1 / 0;',
    });
    const config = { tenantMigrations: files.directory };
    let id = '';
    {
      await using broken = await startCore({ database: own, config, timings });
      id = await create(broken);
      const { tenant, operation } = await settled(broken, id);
      expect(tenant).toMatchObject({ status: 'ERROR', schemaVersion: 0 });
      expect(operation).toMatchObject({
        state: 'FAILED',
        attempt: 1,
        error: '0002_second.sql: division by zero',
        nextAttemptAt: null,
      });
      const failures = (await eventsOf(broken, id)).filter(({ status }) => status === 'FAILED');
      expect(
        failures.map(({ operationState, step, message }) => `${operationState} ${step} ${message}`),
      ).toEqual(['FAILED apply_migrations 0002_second.sql: division by zero']);
      const tables = 'SELECT relname FROM pg_class WHERE relnamespace = $1::regnamespace';
      expect(await broken.sql(tables, [schemaOf(id)])).toEqual([]);
    }
    await files.write('0002_second.sql', 'CREATE TABLE second (id int REFERENCES first);');
    await using mended = await startCore({ database: own, config, timings });
    const failed = await mended.core.tenants.get(id);
    const { operation } = await mended.core.operations.retry(editor, failed.operationId ?? '');
    expect(operation).toMatchObject({ state: 'PENDING', attempt: 0, error: null });
    const end = await settled(mended, id);
    expect(end.tenant).toMatchObject({ status: 'ACTIVE', schemaVersion: 2 });
    expect(end.operation).toMatchObject({ state: 'SUCCEEDED', attempt: 1, error: null });
    const events = await eventsOf(mended, id);
    expect(areGapless(events)).toBe(true);
    const roles = events.filter(({ step, status }) => step === 'create_role' && status === 'SUCCESS');
    expect(roles).toHaveLength(1);
  }, 90_000);

  test('for a while leaves the operation PENDING between its attempts, and says when the next one is', async () => {
    const error = '0001_first.sql: busy';
    await using files = await migrationFiles({
      '0001_first.sql': `DO $$ BEGIN RAISE 'busy' USING ERRCODE = 'lock_not_available'; END $$;`,
    });
    await using slow = await startCore({
      config: { tenantMigrations: files.directory },
      timings: { firstRetryMs: 30_000 },
    });
    const id = await create(slow);
    const before = Date.now();
    const waiting = await inState(slow, id, 'PENDING');
    const failed = waiting.error === null ? await untilFailedOnce(slow, id) : waiting;
    expect(failed).toMatchObject({
      state: 'PENDING',
      attempt: 1,
      error,
      leaseUntil: null,
      finishedAt: null,
    });
    const inMs = (failed.nextAttemptAt?.getTime() ?? 0) - before;
    expect(inMs).toBeGreaterThan(14_000);
    expect(inMs).toBeLessThan(60_000);
    expect((await slow.core.tenants.get(id)).status).toBe('PROVISIONING');
    const steps = await slow.sql(
      'SELECT name, status, error FROM operation_steps WHERE operation_id = $1 AND position = 2',
      [failed.id],
    );
    expect(steps).toEqual([{ name: 'apply_migrations', status: 'FAILED', error }]);
  });
});

async function untilFailedOnce(on: CoreApp, tenantId: string) {
  for (;;) {
    const operation = await inState(on, tenantId, 'PENDING');
    if (operation.error !== null) return operation;
  }
}

test('a step that this version does not know is told as a failure, also when it is to be undone', async () => {
  const id = await provisionedAfter((_, tenantId) =>
    idle.sql(
      `UPDATE operation_steps SET name = 'of_tomorrow' FROM tenants
       WHERE tenants.id = $1 AND operation_steps.operation_id = tenants.operation_id AND operation_steps.name = 'verify_isolation'`,
      [tenantId],
    ),
  );
  const { operationId } = await idle.core.tenants.get(id);
  const unknown = {
    state: 'FAILED',
    attempt: 5,
    error: 'this worker does not know the step of_tomorrow; a newer one may',
  };
  expect((await settled(app, id)).operation).toMatchObject({ ...unknown, cancelling: false });
  await app.core.operations.cancel(editor, operationId ?? '');
  expect((await settled(app, id)).operation).toMatchObject({ ...unknown, cancelling: true });
  await app.core.tenants.remove(editor, id);
  expect((await settled(app, id)).operation).toMatchObject({ kind: 'DELETE', state: 'SUCCEEDED' });
});
