import { afterAll, beforeAll, expect, test } from 'vitest';
import type { LeasedConnection } from '../../src/core/leases.ts';
import type { Principal } from '../../src/core/model.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { connect, type Session, schemaOf, settled } from './worker-app.ts';

const admin: Principal = { subject: 'an admin', role: 'admin' };

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
async function leased(): Promise<{ id: string; schema: string; lease: LeasedConnection }> {
  const id = await working(async (app) => {
    const { tenant } = await app.core.tenants.create(editor, newTenant());
    expect((await settled(app, tenant.id)).tenant.status).toBe('ACTIVE');
    return tenant.id;
  });
  const lease = await idle.core.leases.take(admin, { tenantId: id, dsn: '' });
  return { id, schema: schemaOf(id), lease };
}

const logIn = ({ username, ...rest }: LeasedConnection) => connect({ ...rest, user: username });

const rolesOf = (schema: string) =>
  administrator.query(
    `SELECT rolname AS role, rolcanlogin AS open FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY 1`,
    [schema],
  );

test('a suspension that is cancelled before it began leaves leases as they are', async () => {
  const { id, lease } = await leased();
  await using session = await logIn(lease);
  const { operation } = await idle.core.tenants.suspend(id);
  await idle.core.operations.cancel(operation.id);
  expect((await working((app) => settled(app, id))).operation.state).toBe('CANCELLED');
  await session.query('SELECT FROM users');
  await idle.core.leases.release(admin, lease.id);
});

test('a suspension that is cancelled behind the revocation gives back the service’s login alone', async () => {
  const { id, schema, lease } = await leased();
  await using session = await logIn(lease);
  const { operation } = await idle.core.tenants.suspend(id);
  // As far as a worker came.
  await administrator.query(`ALTER ROLE ${schema}_app NOLOGIN; ALTER ROLE ${schema}_l1 NOLOGIN`);
  await idle.core.operations.cancel(operation.id);
  expect((await working((app) => settled(app, id))).operation.state).toBe('CANCELLED');
  await expect(session.query('SELECT FROM users')).rejects.toThrow();
  expect(await rolesOf(schema)).toEqual([
    { role: schema, open: false },
    { role: `${schema}_app`, open: true },
    { role: `${schema}_l1`, open: false },
    { role: `${schema}_rows`, open: false },
  ]);
  expect(await idle.sql('SELECT FROM leases WHERE tenant_id = $1', [id])).toEqual([]);
  await using again = await logIn(await idle.core.leases.take(admin, { tenantId: id, dsn: '' }));
  await again.query('SELECT FROM users');
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
  await idle.core.operations.cancel(operationId ?? '');
  expect((await working((app) => settled(app, id))).operation.state).toBe('CANCELLED');
  expect(await rolesOf(schema)).toEqual([
    { role: `${schema}_l2`, open: false },
    { role: `${schema}_like`, open: false },
  ]);
  await administrator.query(`DROP ROLE ${schema}_l2, ${schema}_like`);
});
