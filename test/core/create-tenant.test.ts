import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { IdempotencyConflictError, SubdomainTakenError, ValidationError } from '../../src/core/errors.ts';
import { plain } from '../db/registry-fixture.ts';
import { actor } from '../support/actor.ts';
import { asAdministrator } from '../support/database.ts';
import { type CoreApp, countAll, editor, newTenant, outcomes, startCore } from './core-app.ts';

let app: CoreApp;

beforeAll(async () => {
  app = await startCore({ worker: false });
});
afterAll(() => app?.[Symbol.asyncDispose]());

const anything = { date: expect.any(Date), id: expect.stringMatching(/^[0-9a-f-]{36}$/) };

describe('a new tenant', () => {
  test('is stored normalised, with its operation, steps, first event and job', async () => {
    const { subdomain } = newTenant();
    const { tenant, operation } = await app.core.tenants.create(editor, {
      name: '  Acme Ltd ',
      subdomain: ` ${subdomain.toUpperCase()} `,
      contactEmail: ' Owner@Acme.example ',
    });
    expect({ ...tenant }).toEqual({
      id: anything.id,
      name: 'Acme Ltd',
      subdomain,
      tier: 'standard',
      status: 'PROVISIONING',
      version: 1,
      schemaVersion: 0,
      createdAt: anything.date,
      updatedAt: tenant.createdAt,
      deletedAt: null,
      operationId: operation.id,
    });
    expect(operation).toEqual({
      id: anything.id,
      tenantId: tenant.id,
      kind: 'PROVISION',
      state: 'PENDING',
      attempt: 0,
      cancelling: false,
      error: null,
      nextAttemptAt: null,
      fence: 0,
      lastSequence: 1,
      leaseUntil: null,
      createdAt: tenant.createdAt,
      startedAt: null,
      finishedAt: null,
    });
    const found = await app.core.tenants.find(tenant.id);
    expect(plain(found)).toEqual(plain(tenant));
    expect(await app.core.operations.find(operation.id)).toEqual(operation);
    expect(
      await app.sql('SELECT position, name, status FROM operation_steps WHERE operation_id = $1 ORDER BY 1', [
        operation.id,
      ]),
    ).toEqual(
      ['create_role', 'create_schema', 'apply_migrations', 'verify_isolation', 'activate'].map(
        (name, position) => ({ position, name, status: 'PENDING' }),
      ),
    );
    const [event] = await app.sql('SELECT * FROM provisioning_events WHERE tenant_id = $1', [tenant.id]);
    expect(event).toEqual({
      tenant_id: tenant.id,
      sequence: 1,
      operation_id: operation.id,
      kind: 'PROVISION',
      operation_state: 'PENDING',
      step: 'create_role',
      status: 'PENDING',
      completed_steps: 0,
      total_steps: 5,
      message: null,
      tenant_status: 'PROVISIONING',
      created_at: anything.date,
    });
    const jobs = 'SELECT task_identifier AS task, attempts FROM graphile_worker.jobs WHERE key = $1';
    expect(await app.sql(jobs, [`operation:${operation.id}`])).toEqual([{ task: 'operation', attempts: 0 }]);
  });

  test('has the tier that is given', async () => {
    const { tenant } = await app.core.tenants.create(editor, { ...newTenant(), tier: ' gold ' });
    expect(tenant.tier).toBe('gold');
  });

  test('may not have a reserved subdomain', async () => {
    const reserved = app.core.tenants.create(editor, { ...newTenant(), subdomain: 'Admin' });
    await expect(reserved).rejects.toEqual(
      new ValidationError([{ path: 'subdomain', message: 'is reserved; choose another one' }]),
    );
  });

  test('may not have the subdomain of a live one', async () => {
    const input = newTenant();
    await app.core.tenants.create(editor, input);
    const before = await countAll(app);
    await expect(
      app.core.tenants.create(editor, { ...newTenant(), subdomain: input.subdomain }),
    ).rejects.toEqual(new SubdomainTakenError(input.subdomain));
    expect(await countAll(app)).toEqual(before);
  });

  test('of twenty at once with one subdomain, one is made', async () => {
    const { subdomain } = newTenant();
    const before = await countAll(app);
    const all = Array.from({ length: 20 }, () =>
      app.core.tenants.create(editor, { ...newTenant(), subdomain }),
    );
    expect(await outcomes(all)).toEqual([...Array(19).fill('SUBDOMAIN_TAKEN'), 'done']);
    expect(await countAll(app)).toEqual(withOneMore(before));
  });

  test.each([
    'operations',
    'operation_steps',
    'provisioning_events',
    'graphile_worker._private_jobs',
    'idempotency_keys',
    'audit_entries',
  ])('leaves nothing when %s cannot be written', async (table) => {
    const name = `refuse_${randomUUID().replaceAll('-', '')}`;
    const before = await countAll(app);
    const { administrator } = app.app;
    await asAdministrator(
      administrator,
      `CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room'; END $$;
         CREATE TRIGGER ${name} BEFORE INSERT ON ${table} FOR EACH ROW EXECUTE FUNCTION ${name}()`,
    );
    try {
      const failed = app.core.tenants.create(editor, { ...newTenant(), idempotencyKey: randomUUID() });
      await expect(failed).rejects.toThrow('no room');
    } finally {
      await asAdministrator(administrator, `DROP FUNCTION ${name} CASCADE`);
    }
    expect(await countAll(app)).toEqual(before);
  });
});

describe('an idempotency key', () => {
  const keyed = () => ({ ...newTenant(), idempotencyKey: randomUUID() });

  test('with the same input answers the tenant and its newest operation as they are now', async () => {
    const input = keyed();
    const first = await app.core.tenants.create(editor, input);
    const renamed = await app.core.tenants.update(editor, { id: first.tenant.id, name: 'Renamed' });
    const removed = await app.core.tenants.remove(editor, first.tenant.id);
    const before = await countAll(app);
    const written = { ...input, name: ` ${input.name}`, contactEmail: input.contactEmail.toUpperCase() };
    const again = await app.core.tenants.create(editor, written);
    expect(again.tenant).toMatchObject({
      id: first.tenant.id,
      name: 'Renamed',
      version: renamed.version + 2,
      deletedAt: anything.date,
    });
    expect(again.operation).toEqual(removed.operation);
    expect(await countAll(app)).toEqual(before);
  });

  test.each([
    ['name', 'Other'],
    ['subdomain', 'other'],
    ['contactEmail', 'other@other.example'],
    ['tier', 'gold'],
  ])('with another %s is a conflict', async (field, value) => {
    const input = keyed();
    await app.core.tenants.create(editor, input);
    const before = await countAll(app);
    await expect(app.core.tenants.create(editor, { ...input, [field]: value })).rejects.toEqual(
      new IdempotencyConflictError(),
    );
    expect(await countAll(app)).toEqual(before);
  });

  test('belongs to its subject', async () => {
    const input = keyed();
    const first = await app.core.tenants.create(editor, input);
    const other = { ...newTenant(), idempotencyKey: input.idempotencyKey };
    const second = await app.core.tenants.create(actor('editor', 'another editor'), other);
    expect(second.tenant.id).not.toBe(first.tenant.id);
    expect((await app.core.tenants.create(editor, input)).tenant.id).toBe(first.tenant.id);
  });

  test('of twenty requests at once makes one tenant, and all get it', async () => {
    const input = keyed();
    const before = await countAll(app);
    const all = await Promise.all(Array.from({ length: 20 }, () => app.core.tenants.create(editor, input)));
    expect(new Set(all.map(({ tenant }) => tenant.id)).size).toBe(1);
    expect(new Set(all.map(({ operation }) => operation.id)).size).toBe(1);
    expect(await countAll(app)).toEqual(withOneMore(before, 1));
  });

  test('of twenty requests at once with different input makes one tenant, the others conflict', async () => {
    const { idempotencyKey } = keyed();
    const before = await countAll(app);
    const all = Array.from({ length: 20 }, () =>
      app.core.tenants.create(editor, { ...newTenant(), idempotencyKey }),
    );
    expect(await outcomes(all)).toEqual([...Array(19).fill('IDEMPOTENCY_CONFLICT'), 'done']);
    expect(await countAll(app)).toEqual(withOneMore(before, 1));
  });

  test('is not used up by a request that failed', async () => {
    const taken = newTenant();
    await app.core.tenants.create(editor, taken);
    const input = { ...keyed(), subdomain: taken.subdomain };
    await expect(app.core.tenants.create(editor, input)).rejects.toBeInstanceOf(SubdomainTakenError);
    await app.core.tenants.create(editor, { ...input, subdomain: newTenant().subdomain });
  });

  test('is forgotten after 24 hours', async () => {
    const input = keyed();
    const { tenant } = await app.core.tenants.create(editor, input);
    const aged = await app.sql(
      `UPDATE idempotency_keys SET created_at = created_at - interval '24 hours', expires_at = expires_at - interval '24 hours'
       WHERE key = $1 RETURNING expires_at - created_at = interval '24 hours' AS day`,
      [input.idempotencyKey],
    );
    expect(aged).toEqual([{ day: true }]);
    await expect(app.core.tenants.create(editor, input)).rejects.toBeInstanceOf(SubdomainTakenError);
    const second = await app.core.tenants.create(editor, {
      ...newTenant(),
      idempotencyKey: input.idempotencyKey,
    });
    expect(second.tenant.id).not.toBe(tenant.id);
  });

  test('is stored with a keyed hash of the input, not with the input', async () => {
    const input = keyed();
    await app.core.tenants.create(editor, input);
    const [row] = await app.sql('SELECT subject, input_hash FROM idempotency_keys WHERE key = $1', [
      input.idempotencyKey,
    ]);
    expect(row).toEqual({ subject: editor.subject, input_hash: expect.stringMatching(/^[\w-]{43}$/) });
  });
});

/** The counts with one more tenant and all that belongs to it. */
function withOneMore(counts: unknown, keys = 0): unknown {
  const more: Record<string, number> = {
    tenants: 1,
    operations: 1,
    operation_steps: 5,
    provisioning_events: 1,
    idempotency_keys: keys,
    'graphile_worker.jobs': 1,
    audit_entries: 1,
  };
  const entries = Object.entries(counts ?? {}).map(([table, count]) => [
    table,
    Number(count) + (more[table] ?? 0),
  ]);
  return Object.fromEntries(entries);
}
