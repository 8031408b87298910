import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { slotRestMs } from '../../src/config/pooler.ts';
import type { LeasedConnection } from '../../src/core/leases.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { actor } from '../support/actor.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { connect, type Session, schemaOf, settled } from './worker-app.ts';

const admin = actor('admin', 'an admin');

let parts: AsyncDisposableStack;
let database: TestDatabase;
/** Takes no operations, so that they wait. */
let idle: CoreApp;
let administrator: Session;

beforeAll(async () => {
  parts = new AsyncDisposableStack();
  database = parts.use(await createTestDatabase());
  idle = parts.use(await startCore({ database, worker: false }));
  administrator = parts.use(await connect(database.administrator));
});
afterAll(() => parts?.disposeAsync());

/** What `work` answers, while a worker takes the operations. */
async function working<T>(work: (app: CoreApp) => Promise<T>): Promise<T> {
  await using app = await startCore({ database });
  return await work(app);
}

/** A tenant that came up, with a lease. */
async function leased(by = idle): Promise<{ id: string; schema: string; lease: LeasedConnection }> {
  const id = await working(async (app) => {
    const { tenant } = await app.core.tenants.create(editor, newTenant());
    expect((await settled(app, tenant.id)).tenant.status).toBe('ACTIVE');
    return tenant.id;
  });
  const lease = await by.core.leases.take(admin, { tenantId: id, dsn: '' });
  return { id, schema: schemaOf(id), lease };
}

const logIn = ({ username, ...rest }: LeasedConnection) => connect({ ...rest, user: username, ssl: false });

const rolesOf = (schema: string) =>
  administrator.query(
    `SELECT rolname AS role, rolcanlogin AS open FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY 1`,
    [schema],
  );

test('a suspension that is cancelled before it began leaves leases as they are', async () => {
  const { id, lease } = await leased();
  await using session = await logIn(lease);
  const { operation } = await idle.core.tenants.suspend(editor, id);
  await idle.core.operations.cancel(editor, operation.id);
  expect((await working((app) => settled(app, id))).operation.state).toBe('CANCELLED');
  await session.query('SELECT FROM users');
  await idle.core.leases.release(admin, lease.id);
});

test('a suspension that is cancelled behind the revocation gives back the service’s login alone', async () => {
  const { id, schema, lease } = await leased();
  await using session = await logIn(lease);
  const { operation } = await idle.core.tenants.suspend(editor, id);
  // As far as a worker came.
  await administrator.query(`ALTER ROLE ${schema}_app NOLOGIN; ALTER ROLE ${schema}_l1 NOLOGIN`);
  await idle.core.operations.cancel(editor, operation.id);
  expect((await working((app) => settled(app, id))).operation.state).toBe('CANCELLED');
  await expect(session.query('SELECT FROM users')).rejects.toThrow();
  expect(await rolesOf(schema)).toEqual([
    { role: schema, open: false },
    { role: `${schema}_app`, open: true },
    { role: `${schema}_l1`, open: false },
    { role: `${schema}_rows`, open: false },
  ]);
  expect(await idle.sql('SELECT FROM leases WHERE tenant_id = $1 AND ended_at IS NULL', [id])).toEqual([]);
  await using again = await logIn(await idle.core.leases.take(admin, { tenantId: id, dsn: '' }));
  await again.query('SELECT FROM users');
});

describe('behind a pooler', () => {
  const config = {
    pooler: { host: '127.0.0.1', port: 6432 },
    tierConnections: new Map([['standard', 2]]),
  };
  let app: CoreApp;
  beforeAll(async () => {
    app = await startCore({ database, worker: false, config });
  });
  afterAll(() => app?.[Symbol.asyncDispose]());

  const take = async (tenantId: string) => {
    const { id, username } = await app.core.leases.take(admin, { tenantId, dsn: '' });
    return { id, slot: username.replace(/^.*_l/, '') };
  };
  /** As if that time had passed since the leases ended. */
  const pass = (tenantId: string, milliseconds: number) =>
    app.sql(`UPDATE leases SET ended_at = ended_at - $2 * interval '1 millisecond' WHERE tenant_id = $1`, [
      tenantId,
      milliseconds,
    ]);

  test('the slot of a lease that is over rests, and counts neither as taken nor as free', async () => {
    const { id, lease } = await leased(app);
    await app.core.leases.release(admin, lease.id);
    const second = await take(id);
    expect(second.slot).toBe('2');
    expect((await app.core.leases.statistics(id)).leases).toBe(1);
    await pass(id, slotRestMs - 60_000);
    expect((await take(id)).slot).toBe('3');
    await expect(take(id)).rejects.toThrow("The tenant's tier allows 2 leases at once");
    await app.core.leases.release(admin, second.id);
    await pass(id, 60_000);
    expect((await take(id)).slot).toBe('1');
    await expect(app.core.leases.release(admin, lease.id)).rejects.toThrow('There is no such lease');
  });

  test('a tenant has four logins for each lease that it may have, and no more', async () => {
    const { id, lease } = await leased(app);
    await app.core.leases.release(admin, lease.id);
    for (let slot = 2; slot <= 8; slot++) {
      const next = await take(id);
      expect(next.slot).toBe(`${slot}`);
      await app.core.leases.release(admin, next.id);
    }
    await expect(take(id)).rejects.toThrow('none of its 8 logins is free');
    await pass(id, slotRestMs);
    expect((await take(id)).slot).toBe('1');
  });

  test('but not that of a lease which another replica gave, that names PostgreSQL itself', async () => {
    const { id, lease } = await leased();
    await app.core.leases.release(admin, lease.id);
    expect((await take(id)).slot).toBe('1');
  });

  test('the slots of a tenant that was suspended rest, too', async () => {
    const { id } = await leased(app);
    await working(async (workingApp) => {
      await app.core.tenants.suspend(editor, id);
      await settled(workingApp, id);
      await app.core.tenants.resume(editor, id);
      expect((await settled(workingApp, id)).tenant.status).toBe('ACTIVE');
    });
    expect((await take(id)).slot).toBe('2');
  });

  test('workers remove leases whose slots have rested', async () => {
    const { id, lease } = await leased(app);
    await app.core.leases.release(admin, lease.id);
    const taken = await take(id);
    await using _ = await startCore({ database, config });
    await pass(id, slotRestMs);
    await eventually(
      async () => (await app.sql('SELECT FROM leases WHERE tenant_id = $1', [id])).length === 1,
      10_000,
    );
    await app.core.leases.release(admin, taken.id);
  });
});

test('a provisioning that is undone drops the roles of slots too, and leaves what is somebody else’s', async () => {
  const { id, schema, lease } = await leased();
  await idle.core.leases.release(admin, lease.id);
  await administrator.query(
    `CREATE ROLE ${schema}_l2; COMMENT ON ROLE ${schema}_l2 IS 'another registry'; CREATE ROLE ${schema}_like`,
  );
  const { operationId } = await idle.core.tenants.get(id);
  await idle.sql(`UPDATE operations SET state = 'FAILED', error = 'tried' WHERE id = $1`, [operationId]);
  await idle.sql(`UPDATE tenants SET status = 'ERROR' WHERE id = $1`, [id]);
  await idle.core.operations.cancel(editor, operationId ?? '');
  expect((await working((app) => settled(app, id))).operation.state).toBe('CANCELLED');
  expect(await rolesOf(schema)).toEqual([
    { role: `${schema}_l2`, open: false },
    { role: `${schema}_like`, open: false },
  ]);
  await administrator.query(`DROP ROLE ${schema}_l2, ${schema}_like`);
});
