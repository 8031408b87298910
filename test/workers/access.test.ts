import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { OperationKind } from '../../src/core/model.ts';
import { openRegistry } from '../../src/db/open-registry.ts';
import { createTenantCredentials } from '../../src/db/tenant-credentials.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { areGapless, connect, eventsOf, type Session, schemaOf, settled } from './worker-app.ts';

const encryptionKeys = [{ id: 'key', key: randomBytes(32) }];

let app: CoreApp;
let passwordOf: (tenantId: string) => Promise<string>;
let id = '';

beforeAll(async () => {
  app = await startCore({ config: { encryptionKeys } });
  const { keyRing } = await openRegistry(app.app.database, encryptionKeys);
  const password = createTenantCredentials(keyRing);
  passwordOf = (tenantId) => password({ query: app.sql }, tenantId);
});
afterAll(() => app?.[Symbol.asyncDispose]());

beforeEach(async () => {
  const { tenant } = await app.core.tenants.create(editor, newTenant());
  id = tenant.id;
  expect((await settled(app, id)).tenant.status).toBe('ACTIVE');
});

/** A session of the tenant's login. */
async function login(): Promise<Session> {
  return connect({ ...app.app.database, user: `${schemaOf(id)}_app`, password: await passwordOf(id) });
}

/** Whether a new session is let in, and whether the tenant's rows are then reached. */
async function letsIn(): Promise<boolean> {
  try {
    await using session = await login();
    await session.query('SELECT FROM users');
    return true;
  } catch (error) {
    // 28000: the role is not permitted to log in.
    expect(error).toMatchObject({ code: '28000' });
    return false;
  }
}

async function expectEnd(kind: OperationKind, status: string): Promise<void> {
  const { tenant, operation } = await settled(app, id);
  expect(operation).toMatchObject({ kind, state: 'SUCCEEDED', attempt: 1, error: null });
  expect(tenant.status).toBe(status);
}

test('a suspended tenant’s sessions end and nobody logs in, until it is resumed', async () => {
  await using session = await login();
  await session.query('SELECT FROM users');
  await app.core.tenants.suspend(editor, id);
  await expectEnd('SUSPEND', 'INACTIVE');
  await expect(session.query('SELECT FROM users')).rejects.toThrow();
  expect(await letsIn()).toBe(false);
  await app.core.tenants.resume(editor, id);
  await expectEnd('RESUME', 'ACTIVE');
  expect(await letsIn()).toBe(true);
  const events = await eventsOf(app, id);
  expect(areGapless(events)).toBe(true);
  const statuses = events
    .slice(13)
    .map(({ step, status, tenantStatus }) => `${step} ${status} ${tenantStatus}`);
  expect(statuses).toEqual([
    'revoke_access PENDING ACTIVE',
    'revoke_access IN_PROGRESS ACTIVE',
    'revoke_access SUCCESS ACTIVE',
    'end_sessions IN_PROGRESS ACTIVE',
    'end_sessions SUCCESS ACTIVE',
    'deactivate IN_PROGRESS ACTIVE',
    'deactivate SUCCESS INACTIVE',
    'end_sessions PENDING INACTIVE',
    'end_sessions IN_PROGRESS INACTIVE',
    'end_sessions SUCCESS INACTIVE',
    'grant_access IN_PROGRESS INACTIVE',
    'grant_access SUCCESS INACTIVE',
    'activate IN_PROGRESS INACTIVE',
    'activate SUCCESS ACTIVE',
  ]);
});

test('a deleted tenant’s sessions end and nobody logs in; restored, it is as it was, with its rows and its old schema', async () => {
  await using session = await login();
  await session.query(`INSERT INTO users (email, display_name) VALUES ('a@b.example', 'A')`);
  await app.core.tenants.update(editor, { id, name: 'Renamed', subdomain: newTenant().subdomain });
  await app.core.tenants.remove(editor, id);
  await expectEnd('DELETE', 'ACTIVE');
  await expect(session.query('SELECT FROM users')).rejects.toThrow();
  expect(await letsIn()).toBe(false);
  await app.core.tenants.restore(editor, id);
  await expectEnd('RESTORE', 'ACTIVE');
  await using again = await login();
  expect(await again.query('SELECT current_schema AS schema, email FROM users')).toEqual([
    { schema: schemaOf(id), email: 'a@b.example' },
  ]);
});

test('a tenant that was suspended when it was deleted is suspended when it is restored', async () => {
  await app.core.tenants.suspend(editor, id);
  await expectEnd('SUSPEND', 'INACTIVE');
  await app.core.tenants.remove(editor, id);
  await expectEnd('DELETE', 'INACTIVE');
  await app.core.tenants.restore(editor, id);
  await expectEnd('RESTORE', 'INACTIVE');
  expect(await letsIn()).toBe(false);
  await app.core.tenants.resume(editor, id);
  await expectEnd('RESUME', 'ACTIVE');
  expect(await letsIn()).toBe(true);
});

test('the sessions of its neighbours go on', async () => {
  const neighbour = await login();
  const { tenant } = await app.core.tenants.create(editor, newTenant());
  id = tenant.id;
  await settled(app, id);
  await app.core.tenants.suspend(editor, id);
  await expectEnd('SUSPEND', 'INACTIVE');
  await neighbour.query('SELECT FROM users');
  await neighbour[Symbol.asyncDispose]();
});
