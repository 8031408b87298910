import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { ConnectionPoolServiceService as pool } from '../../src/generated/proto/connectionpool/connection_pool.ts';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { type CoreApp, newTenant, startCore, untilWaiting } from '../core/core-app.ts';
import { type AuditTrail, auditTrail, entry } from '../support/audit-trail.ts';
import { asAdministrator } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { settled } from '../workers/worker-app.ts';
import { type Caller, connect, failureOf } from './grpc-client.ts';

let app: CoreApp;
let admin: Caller;
let editor: Caller;
let viewer: Caller;
let trail: AuditTrail;

beforeAll(async () => {
  app = await startCore();
  const { grpcAddress, tokens } = app.app;
  [admin, editor, viewer] = [
    connect(grpcAddress, tokens.admin),
    connect(grpcAddress, tokens.editor),
    connect(grpcAddress, tokens.viewer),
  ];
  trail = await auditTrail(app);
});
afterAll(async () => {
  for (const caller of [admin, editor, viewer]) caller?.[Symbol.dispose]();
  await app?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  await trail.news();
});

const by = (role: string) => ({ subject: `test-${role}`, role, transport: 'GRPC' });
const nobody = { name: '', subdomain: '', contactEmail: '', tier: '' };

async function create(): Promise<string> {
  const { tenant } = await editor.unary(rpc.createTenant, { ...newTenant(), tier: '' });
  return tenant?.id ?? '';
}

/** The tenant's newest operation, at its end. */
const done = async (id: string) => (await settled(app, id)).operation.id;

test('each change leaves one entry; what only reads leaves none', async () => {
  const id = await create();
  const provisioned = await done(id);
  await editor.unary(rpc.updateTenant, { id, name: 'Renamed', subdomain: '', status: 'active' });
  await editor.unary(rpc.updateTenant, { id, name: '', subdomain: '', status: 'active' });
  const { connectionId } = await admin.unary(pool.getConnection, { tenantId: id, dsn: '' });
  await admin.unary(pool.getPoolStats, { tenantId: id });
  await admin.unary(pool.releaseConnection, { connectionId });
  await admin.unary(rpc.updateTenant, { id, name: '', subdomain: '', status: 'inactive' });
  const suspended = await done(id);
  await viewer.unary(rpc.getTenant, { id });
  await admin.unary(rpc.deleteTenant, { id });
  await admin.unary(rpc.deleteTenant, { id });
  const deleted = await done(id);
  await admin.unary(rpc.restoreTenant, { id });
  const restored = await done(id);
  expect(await trail.news()).toEqual(
    [
      { ...by('editor'), action: 'CREATE_TENANT', operation_id: provisioned },
      { ...by('editor'), action: 'UPDATE_TENANT', fields: ['name'] },
      { ...by('admin'), action: 'TAKE_LEASE', lease_id: connectionId },
      { ...by('admin'), action: 'RELEASE_LEASE', lease_id: connectionId },
      { ...by('admin'), action: 'SUSPEND_TENANT', operation_id: suspended },
      { ...by('admin'), action: 'DELETE_TENANT', operation_id: deleted },
      { ...by('admin'), action: 'RESTORE_TENANT', operation_id: restored },
    ].map((told) => entry({ tenant_id: id, ...told })),
  );
});

test('each refusal leaves one entry, with the code of its error', async () => {
  const id = await create();
  const operation = await done(id);
  const unknown = randomUUID();
  await trail.news();
  const { connectionId } = await admin.unary(pool.getConnection, { tenantId: id, dsn: '' });
  await failureOf(viewer.unary(rpc.createTenant, { ...newTenant(), tier: '' }));
  await failureOf(editor.unary(rpc.createTenant, nobody));
  await failureOf(
    editor.unary(rpc.createTenant, { ...newTenant(), tier: '' }, { metadata: [['x-tenant-subdomain', 'x']] }),
  );
  await failureOf(editor.unary(rpc.updateTenant, { id, name: '', subdomain: '', status: 'inactive' }));
  await failureOf(editor.unary(rpc.updateTenant, { id: 'x', name: '', subdomain: '', status: '' }));
  await failureOf(editor.unary(rpc.deleteTenant, { id }));
  await failureOf(admin.unary(rpc.restoreTenant, { id: unknown }));
  await failureOf(editor.unary(rpc.retryOperation, { id: operation }));
  await failureOf(editor.unary(rpc.cancelOperation, { id: unknown }));
  await failureOf(editor.unary(pool.getConnection, { tenantId: id, dsn: '' }));
  await failureOf(editor.unary(pool.releaseConnection, { connectionId }));
  // Neither of these would have been a change.
  await failureOf(viewer.unary(pool.getPoolStats, { tenantId: id }));
  await failureOf(viewer.unary(rpc.getTenant, { id: unknown }));
  expect((await trail.news()).slice(1)).toEqual(
    [
      { ...by('viewer'), action: 'CREATE_TENANT', result: 'FORBIDDEN' },
      { ...by('editor'), action: 'CREATE_TENANT', result: 'BAD_USER_INPUT' },
      { ...by('editor'), action: 'CREATE_TENANT', result: 'BAD_USER_INPUT' },
      { ...by('editor'), action: 'UPDATE_TENANT', tenant_id: id, result: 'FORBIDDEN' },
      { ...by('editor'), action: 'UPDATE_TENANT', result: 'BAD_USER_INPUT' },
      { ...by('editor'), action: 'DELETE_TENANT', tenant_id: id, result: 'FORBIDDEN' },
      { ...by('admin'), action: 'RESTORE_TENANT', tenant_id: unknown, result: 'NOT_FOUND' },
      {
        ...by('editor'),
        action: 'RETRY_OPERATION',
        tenant_id: id,
        operation_id: operation,
        result: 'INVALID_STATE',
      },
      { ...by('editor'), action: 'CANCEL_OPERATION', operation_id: unknown, result: 'NOT_FOUND' },
      { ...by('editor'), action: 'TAKE_LEASE', tenant_id: id, result: 'FORBIDDEN' },
      {
        ...by('editor'),
        action: 'RELEASE_LEASE',
        tenant_id: id,
        lease_id: connectionId,
        result: 'FORBIDDEN',
      },
    ].map(entry),
  );
});

test('a lease that cannot be written down is not taken', async () => {
  const id = await create();
  await done(id);
  const { administrator } = app.app;
  await asAdministrator(
    administrator,
    `CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no room'; END $$;
     CREATE TRIGGER no_room BEFORE INSERT ON audit_entries FOR EACH ROW EXECUTE FUNCTION no_room()`,
  );
  try {
    const { code } = await failureOf(admin.unary(pool.getConnection, { tenantId: id, dsn: '' }));
    expect(code).toBe('INTERNAL');
  } finally {
    await asAdministrator(administrator, 'DROP FUNCTION no_room CASCADE');
  }
  expect(await app.sql('SELECT FROM leases WHERE tenant_id = $1', [id])).toEqual([]);
});

test('who hangs up on a refusal has left one nevertheless', async () => {
  const holder = new pg.Client(app.app.database);
  await holder.connect();
  try {
    await holder.query('BEGIN; LOCK TABLE audit_entries');
    const abort = new AbortController();
    const tenantId = randomUUID();
    const call = failureOf(viewer.unary(rpc.deleteTenant, { id: tenantId }, { signal: abort.signal }));
    await untilWaiting(app, 1);
    abort.abort();
    expect((await call).code).toBe('CANCELLED');
    await holder.query('ROLLBACK');
    const told = { ...by('viewer'), action: 'DELETE_TENANT', tenant_id: tenantId, result: 'FORBIDDEN' };
    const kept = await eventually(async () => {
      const news = await trail.news();
      return news.length > 0 && news;
    }, 10_000);
    expect(kept).toEqual([entry(told)]);
  } finally {
    await holder.end();
  }
});

test('who is nobody leaves none', async () => {
  using stranger = connect(app.app.grpcAddress, null);
  await failureOf(stranger.unary(rpc.createTenant, { ...newTenant(), tier: '' }));
  expect(await trail.news()).toEqual([]);
});
