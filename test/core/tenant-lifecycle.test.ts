import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { InvalidStateError, NotFoundError, SubdomainTakenError } from '../../src/core/errors.ts';
import { plain } from '../db/registry-fixture.ts';
import { activeTenant, type CoreApp, countAll, editor, newTenant, outcomes, startCore } from './core-app.ts';

let app: CoreApp;

beforeAll(async () => {
  app = await startCore({ worker: false });
});
afterAll(() => app?.[Symbol.asyncDispose]());

const create = (input = newTenant()) => app.core.tenants.create(editor, input);

/** Ends the tenant's newest operation as a worker would. */
async function finish(id: string, state: 'SUCCEEDED' | 'FAILED' = 'SUCCEEDED', status?: string) {
  await app.sql(
    `UPDATE operations SET state = $2, started_at = now(), finished_at = now(), error = 'because'
     WHERE id = (SELECT operation_id FROM tenants WHERE id = $1)`,
    [id, state],
  );
  if (status) await app.sql('UPDATE tenants SET status = $2 WHERE id = $1', [id, status]);
}

const unfinished = (kind: string) =>
  new InvalidStateError(`The tenant's ${kind} operation is not finished; wait for its end and try again.`);

async function events(id: string) {
  return app.sql(
    'SELECT sequence, kind, operation_state AS state, step, message FROM provisioning_events WHERE tenant_id = $1 ORDER BY sequence',
    [id],
  );
}

describe('a deletion', () => {
  test('hides the tenant, frees its subdomain, and starts a DELETE', async () => {
    const input = newTenant();
    const id = await activeTenant(app, input);
    const before = await app.core.tenants.get(id);
    const { tenant, operation, changed } = await app.core.tenants.remove(editor, id.toUpperCase());
    expect(changed).toBe(true);
    expect(plain(tenant)).toEqual({
      ...(plain(before) as object),
      deletedAt: expect.any(Date),
      updatedAt: expect.any(Date),
      version: before.version + 2,
      operationId: operation?.id,
    });
    expect(operation).toMatchObject({ kind: 'DELETE', state: 'PENDING', tenantId: id, lastSequence: 2 });
    expect(await app.core.tenants.find(id)).toBeNull();
    expect(await app.core.tenants.findBySubdomain(input.subdomain)).toBeNull();
    expect(plain(await app.core.tenants.find(id, 'ONLY'))).toEqual(plain(tenant));
    await create(input);
  });

  test('cancels what runs', async () => {
    const { tenant, operation } = await create();
    await app.sql(
      `UPDATE operations SET state = 'RUNNING', fence = 4, lease_until = now() + interval '1 hour' WHERE id = $1`,
      [operation.id],
    );
    await app.core.tenants.remove(editor, tenant.id);
    expect(await app.core.operations.find(operation.id)).toMatchObject({
      state: 'CANCELLED',
      fence: 5,
      leaseUntil: null,
      finishedAt: expect.any(Date),
    });
    expect(await events(tenant.id)).toEqual([
      { sequence: 1, kind: 'PROVISION', state: 'PENDING', step: 'create_role', message: null },
      { sequence: 2, kind: 'PROVISION', state: 'CANCELLED', step: 'create_role', message: 'cancelled' },
      { sequence: 3, kind: 'DELETE', state: 'PENDING', step: 'revoke_access', message: null },
    ]);
  });

  test('of a deleted tenant changes nothing', async () => {
    const { tenant } = await create();
    const first = await app.core.tenants.remove(editor, tenant.id);
    const before = await countAll(app);
    const second = await app.core.tenants.remove(editor, tenant.id);
    expect(plain(second)).toEqual({ tenant: plain(first.tenant), operation: null, changed: false });
    expect(await countAll(app)).toEqual(before);
  });

  test('asked for by twenty at once happens once', async () => {
    const { tenant } = await create();
    const all = await Promise.all(
      Array.from({ length: 20 }, () => app.core.tenants.remove(editor, tenant.id)),
    );
    expect(all.filter(({ changed }) => changed)).toHaveLength(1);
    expect((await events(tenant.id)).map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
  });

  test('of an unknown tenant finds none', async () => {
    await expect(app.core.tenants.remove(editor, randomUUID())).rejects.toEqual(new NotFoundError('tenant'));
  });
});

describe('a restoration', () => {
  async function deleted(status: string, input = newTenant()): Promise<string> {
    const id = await activeTenant(app, input);
    await app.sql('UPDATE tenants SET status = $2 WHERE id = $1', [id, status]);
    await app.core.tenants.remove(editor, id);
    await finish(id);
    return id;
  }

  test.each(['ACTIVE', 'INACTIVE'])('brings the subdomain back and keeps the status %s', async (status) => {
    const input = newTenant();
    const id = await deleted(status, input);
    const { tenant, operation } = await app.core.tenants.restore(editor, id);
    expect(tenant).toMatchObject({ id, subdomain: input.subdomain, status, deletedAt: null });
    expect(operation).toMatchObject({ kind: 'RESTORE', state: 'PENDING' });
    expect((await app.core.tenants.findBySubdomain(input.subdomain))?.id).toBe(id);
  });

  test.each(['PROVISIONING', 'ERROR'])('provisions anew what was %s and never came up', async (status) => {
    const id = await deleted(status);
    const { tenant, operation } = await app.core.tenants.restore(editor, id);
    expect(tenant).toMatchObject({ status: 'PROVISIONING', deletedAt: null });
    expect(operation).toMatchObject({ kind: 'PROVISION', state: 'PENDING' });
  });

  test('whose subdomain was taken meanwhile is refused, also before its DELETE has ended', async () => {
    const input = newTenant();
    const id = await deleted('ACTIVE', input);
    await create(input);
    await expect(app.core.tenants.restore(editor, id)).rejects.toEqual(
      new SubdomainTakenError(input.subdomain),
    );
    await app.sql(
      `UPDATE operations SET state = 'RUNNING', finished_at = NULL WHERE tenant_id = $1 AND kind = 'DELETE'`,
      [id],
    );
    await expect(app.core.tenants.restore(editor, id)).rejects.toEqual(
      new SubdomainTakenError(input.subdomain),
    );
    expect(await app.core.tenants.find(id)).toBeNull();
  });

  test('is refused while the DELETE is unfinished', async () => {
    const id = await activeTenant(app);
    await app.core.tenants.remove(editor, id);
    await expect(app.core.tenants.restore(editor, id)).rejects.toEqual(unfinished('DELETE'));
  });

  test('of a tenant that is not deleted is refused', async () => {
    await expect(app.core.tenants.restore(editor, await activeTenant(app))).rejects.toEqual(
      new InvalidStateError('The tenant is not deleted; there is nothing to restore.'),
    );
  });

  test('of an unknown tenant finds none', async () => {
    await expect(app.core.tenants.restore(editor, randomUUID())).rejects.toEqual(new NotFoundError('tenant'));
  });

  test('of twenty deleted tenants with one subdomain at once succeeds for one', async () => {
    const { subdomain } = newTenant();
    const ids: string[] = [];
    for (let n = 0; n < 20; n++) ids.push(await deleted('ACTIVE', { ...newTenant(), subdomain }));
    expect(await outcomes(ids.map((id) => app.core.tenants.restore(editor, id)))).toEqual([
      ...Array(19).fill('SUBDOMAIN_TAKEN'),
      'done',
    ]);
  });
});

describe('suspending and resuming', () => {
  test('start an operation; the status changes with its end', async () => {
    const id = await activeTenant(app);
    const suspended = await app.core.tenants.suspend(editor, id);
    expect(suspended.operation).toMatchObject({ kind: 'SUSPEND', state: 'PENDING' });
    expect(suspended.tenant).toMatchObject({ status: 'ACTIVE', operationId: suspended.operation.id });
    await finish(id, 'SUCCEEDED', 'INACTIVE');
    const resumed = await app.core.tenants.resume(editor, id);
    expect(resumed.operation).toMatchObject({ kind: 'RESUME', state: 'PENDING' });
    expect(resumed.tenant).toMatchObject({ status: 'INACTIVE', operationId: resumed.operation.id });
  });

  test.each([
    ['suspend', 'INACTIVE', 'Only a tenant that is active can become inactive; this one is inactive.'],
    ['suspend', 'ERROR', 'Only a tenant that is active can become inactive; this one is error.'],
    ['resume', 'ACTIVE', 'Only a tenant that is inactive can become active; this one is active.'],
  ] as const)('%s of what is %s is refused', async (verb, status, message) => {
    const id = await activeTenant(app);
    await app.sql('UPDATE tenants SET status = $2 WHERE id = $1', [id, status]);
    await expect(app.core.tenants[verb](editor, id)).rejects.toEqual(new InvalidStateError(message));
  });

  test('are refused while an operation is unfinished, for deleted and for unknown tenants', async () => {
    const id = await activeTenant(app);
    await app.core.tenants.suspend(editor, id);
    await expect(app.core.tenants.suspend(editor, id)).rejects.toEqual(unfinished('SUSPEND'));
    await app.core.tenants.remove(editor, id);
    for (const unknown of [id, randomUUID()]) {
      await expect(app.core.tenants.resume(editor, unknown)).rejects.toEqual(new NotFoundError('tenant'));
    }
  });

  test('asked for by twenty at once starts one operation', async () => {
    const id = await activeTenant(app);
    const all = Array.from({ length: 20 }, () => app.core.tenants.suspend(editor, id));
    expect(await outcomes(all)).toEqual([...Array(19).fill('INVALID_STATE'), 'done']);
  });
});

describe('a retry', () => {
  test('reopens a failed PROVISION at the step that failed', async () => {
    const { tenant, operation } = await create();
    await app.sql(
      `UPDATE operation_steps SET status = 'SUCCESS', started_at = now(), finished_at = now() WHERE operation_id = $1 AND position = 0`,
      [operation.id],
    );
    await app.sql(
      `UPDATE operation_steps SET status = 'FAILED', started_at = now(), finished_at = now(), error = 'because' WHERE operation_id = $1 AND position = 1`,
      [operation.id],
    );
    await app.sql('UPDATE operations SET attempt = 5 WHERE id = $1', [operation.id]);
    await finish(tenant.id, 'FAILED', 'ERROR');
    const retried = await app.core.operations.retry(editor, operation.id.toUpperCase());
    expect(retried.operation).toMatchObject({
      id: operation.id,
      state: 'PENDING',
      attempt: 0,
      error: null,
      finishedAt: null,
    });
    expect(retried.tenant.status).toBe('PROVISIONING');
    expect(retried.operation.lastSequence).toBe(2);
    expect(
      await app.sql('SELECT status FROM operation_steps WHERE operation_id = $1 ORDER BY position', [
        operation.id,
      ]),
    ).toEqual(['SUCCESS', 'PENDING', 'PENDING', 'PENDING', 'PENDING'].map((status) => ({ status })));
    expect((await events(tenant.id)).at(-1)).toEqual({
      sequence: 2,
      kind: 'PROVISION',
      state: 'PENDING',
      step: 'create_schema',
      message: 'retried',
    });
  });

  test('of a failed SUSPEND leaves the status alone', async () => {
    const id = await activeTenant(app);
    const { operation } = await app.core.tenants.suspend(editor, id);
    await finish(id, 'FAILED');
    expect((await app.core.operations.retry(editor, operation.id)).tenant.status).toBe('ACTIVE');
  });

  test('is refused of what did not fail, of what is not the newest, and of the unknown', async () => {
    const { tenant, operation } = await create();
    await expect(app.core.operations.retry(editor, operation.id)).rejects.toEqual(
      new InvalidStateError('Only a failed operation can be retried; this one is PENDING.'),
    );
    await finish(tenant.id, 'FAILED', 'ERROR');
    await app.core.tenants.remove(editor, tenant.id);
    await expect(app.core.operations.retry(editor, operation.id)).rejects.toEqual(
      new InvalidStateError('Only the newest operation of a tenant can be retried.'),
    );
    await expect(app.core.operations.retry(editor, randomUUID())).rejects.toEqual(
      new NotFoundError('operation'),
    );
  });

  test('asked for by twenty at once happens once', async () => {
    const { tenant, operation } = await create();
    await finish(tenant.id, 'FAILED', 'ERROR');
    const all = Array.from({ length: 20 }, () => app.core.operations.retry(editor, operation.id));
    expect(await outcomes(all)).toEqual([...Array(19).fill('INVALID_STATE'), 'done']);
    expect((await events(tenant.id)).map(({ sequence }) => sequence)).toEqual([1, 2]);
  });
});
