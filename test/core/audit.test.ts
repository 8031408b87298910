import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ErrorCode, InvalidStateError } from '../../src/core/errors.ts';
import { actor } from '../support/actor.ts';
import { type AuditTrail, auditTrail, entry } from '../support/audit-trail.ts';
import { asAdministrator } from '../support/database.ts';
import { activeTenant, type CoreApp, newTenant, startCore } from './core-app.ts';

let app: CoreApp;
let trail: AuditTrail;
const admin = { ...actor('admin', 'an admin'), address: '2001:db8::7' };
const who = { subject: 'an admin', role: 'admin', transport: 'GRAPHQL', address: '2001:db8::7' };

beforeAll(async () => {
  app = await startCore({ worker: false });
});
afterAll(() => app[Symbol.asyncDispose]());
beforeEach(async () => {
  trail = await auditTrail(app);
});

const finish = (operationId: string, state: 'SUCCEEDED' | 'FAILED') =>
  app.sql(
    `UPDATE operations SET state = $2::operation_state, started_at = now(), finished_at = now(),
       error = CASE WHEN $2 = 'FAILED' THEN 'a reason' END
     WHERE id = $1`,
    [operationId, state],
  );

/** Runs `work` while nobody can write into the audit log. */
async function withoutRoom(work: () => Promise<void>): Promise<void> {
  const { administrator } = app.app;
  await asAdministrator(
    administrator,
    `CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room'; END $$;
     CREATE TRIGGER no_room BEFORE INSERT ON audit_entries FOR EACH ROW EXECUTE FUNCTION no_room()`,
  );
  try {
    await work();
  } finally {
    await asAdministrator(administrator, 'DROP FUNCTION no_room CASCADE');
  }
}

describe('an entry of its own, with who did it and from where, is left by', () => {
  test('a creation', async () => {
    const { tenant, operation } = await app.core.tenants.create(admin, newTenant());
    const told = { ...who, action: 'CREATE_TENANT', tenant_id: tenant.id, operation_id: operation.id };
    expect(await trail.news()).toEqual([entry(told)]);
  });

  test('a creation with an idempotency key, and none by its repetition', async () => {
    const input = { ...newTenant(), idempotencyKey: randomUUID() };
    const { tenant, operation } = await app.core.tenants.create(admin, input);
    await app.core.tenants.create(admin, input);
    const told = { ...who, action: 'CREATE_TENANT', tenant_id: tenant.id, operation_id: operation.id };
    expect(await trail.news()).toEqual([entry(told)]);
  });

  test('an update, with the names of what it changed, and none by one that changes nothing', async () => {
    const { tenant } = await app.core.tenants.create(admin, newTenant());
    await trail.news();
    const { id, tier } = tenant;
    const changes = { name: 'Renamed', contactEmail: 'new@audited.example', tier };
    await app.core.tenants.update(admin, { id, ...changes });
    await app.core.tenants.update(admin, { id, ...changes });
    const fields = ['name', 'contactEmail'];
    expect(await trail.news()).toEqual([entry({ ...who, action: 'UPDATE_TENANT', tenant_id: id, fields })]);
  });

  test('each of both changes of an update with a status', async () => {
    const id = await activeTenant(app);
    await trail.news();
    const { operationId } = await app.core.tenants.update(admin, { id, name: 'Both' }, 'INACTIVE');
    expect(await trail.news()).toEqual([
      entry({ ...who, action: 'UPDATE_TENANT', tenant_id: id, fields: ['name'] }),
      entry({ ...who, action: 'SUSPEND_TENANT', tenant_id: id, operation_id: operationId }),
    ]);
  });

  test('a suspension, its retry, its cancellation, a deletion and a restoration', async () => {
    const id = await activeTenant(app);
    await trail.news();
    const { tenants, operations } = app.core;
    const suspended = (await tenants.suspend(admin, id)).operation.id;
    await finish(suspended, 'FAILED');
    await operations.retry(admin, suspended);
    await operations.cancel(admin, suspended);
    const deleted = (await tenants.remove(admin, id)).operation?.id ?? '';
    await tenants.remove(admin, id);
    await finish(deleted, 'SUCCEEDED');
    const restored = (await tenants.restore(admin, id)).operation.id;
    expect(await trail.news()).toEqual(
      [
        ['SUSPEND_TENANT', suspended],
        ['RETRY_OPERATION', suspended],
        ['CANCEL_OPERATION', suspended],
        ['DELETE_TENANT', deleted],
        ['RESTORE_TENANT', restored],
      ].map(([action, operation_id]) => entry({ ...who, action, tenant_id: id, operation_id })),
    );
  });

  test('a resumption', async () => {
    const id = await activeTenant(app);
    await app.sql(`UPDATE tenants SET status = 'INACTIVE' WHERE id = $1`, [id]);
    await trail.news();
    const { operation } = await app.core.tenants.resume(admin, id);
    const told = { ...who, action: 'RESUME_TENANT', tenant_id: id, operation_id: operation.id };
    expect(await trail.news()).toEqual([entry(told)]);
  });
});

test('a change that cannot be written down is not made', async () => {
  const id = await activeTenant(app);
  const before = await app.core.tenants.get(id);
  await trail.news();
  await withoutRoom(async () => {
    const { tenants } = app.core;
    await expect(tenants.create(admin, newTenant())).rejects.toThrow('no room');
    await expect(tenants.update(admin, { id, name: 'Unseen' })).rejects.toThrow('no room');
    await expect(tenants.suspend(admin, id)).rejects.toThrow('no room');
  });
  expect(await app.core.tenants.get(id)).toMatchObject({
    version: before.version,
    operationId: before.operationId,
  });
  expect(await trail.news()).toEqual([]);
});

test('a change that is taken back says nothing of itself', async () => {
  const id = await activeTenant(app);
  await app.core.tenants.suspend(admin, id);
  await trail.news();
  const both = app.core.tenants.update(admin, { id, name: 'Half' }, 'INACTIVE');
  await expect(both).rejects.toBeInstanceOf(InvalidStateError);
  expect(await trail.news()).toEqual([]);
});

describe('of what is refused', () => {
  const tenantId = randomUUID();
  const by = (subject: string) => actor('editor', subject);
  const refuse = (subject: string, code: ErrorCode | null, attempt: object = {}) =>
    app.core.audit.refused(by(subject), { action: 'UPDATE_TENANT', ...attempt }, code);

  test('nothing that somebody wrote is kept but ids', async () => {
    const text = 'jo@audited.example';
    await refuse('one', 'NOT_FOUND', { tenantId: text, operationId: 7, leaseId: null });
    await refuse('one', 'NOT_FOUND', { tenantId: tenantId.toUpperCase() });
    const told = { ...by('one'), action: 'UPDATE_TENANT', result: 'NOT_FOUND' };
    expect(await trail.news()).toEqual([entry(told), entry({ ...told, tenant_id: tenantId })]);
  });

  test('that the database is out is none of it, nor is what went wrong here', async () => {
    await refuse('two', 'UNAVAILABLE');
    await refuse('two', null);
    expect(await trail.news()).toEqual([]);
  });

  test('a hundred in a minute are kept of one subject; it is said once that there are more', async () => {
    const losses = () =>
      app.app.logged.filter((line) => line.includes('the audit log has not kept a refusal'));
    for (let count = 0; count < 105; count++) await refuse('three', 'NOT_FOUND');
    await refuse('four', 'NOT_FOUND');
    const subjects = (await trail.news()).map(({ subject }) => subject);
    expect(subjects).toEqual([...Array(100).fill('three'), 'four']);
    expect(losses().map((line) => JSON.parse(line))).toMatchObject([
      {
        level: 40,
        subject: 'three',
        result: 'NOT_FOUND',
        err: { message: 'the subject was refused 100 times within a minute' },
      },
    ]);
  });

  test('what cannot be written is logged, and nobody hears of it', async () => {
    await withoutRoom(() => refuse('five', 'NOT_FOUND'));
    expect(app.app.logged.filter((line) => line.includes('no room') && line.includes('"five"'))).toHaveLength(
      1,
    );
    expect(await trail.news()).toEqual([]);
  });
});

test('a contact is nowhere in it', async () => {
  const input = newTenant();
  const { tenant } = await app.core.tenants.create(admin, input);
  await app.core.tenants.update(admin, { id: tenant.id, contactEmail: `again.${input.contactEmail}` });
  const whole = await app.sql('SELECT audit_entries::text AS line FROM audit_entries');
  expect(whole.map(({ line }) => line).join('\n')).toContain(tenant.id);
  expect(whole.filter(({ line }) => String(line).includes(input.subdomain))).toEqual([]);
});
