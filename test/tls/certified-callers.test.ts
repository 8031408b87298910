import { randomUUID } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { HealthService as health } from '../../src/generated/proto/grpc/health/v1/health.ts';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { type CoreApp, newTenant, startCore } from '../core/core-app.ts';
import { type Caller, connect, failureOf } from '../grpc/grpc-client.ts';
import { auditTrail, entry } from '../support/audit-trail.ts';
import { createTestAuthority, opensslMissing, type TestAuthority } from '../support/certificates.ts';
import { byName, trusting } from './peers.ts';

describe.skipIf(opensslMissing !== null)('who calls with a client’s certificate', () => {
  const parts = new AsyncDisposableStack();
  let authority: TestAuthority;
  let app: CoreApp;

  beforeAll(async () => {
    authority = parts.use(await createTestAuthority());
    const { cert, key } = await authority.issue('server');
    const tls = [`--tls-cert=${cert}`, `--tls-key=${key}`, `--tls-client-ca=${authority.cert}`];
    app = parts.use(await startCore({ worker: false, args: tls, config: { rateLimit: 20 } }));
  });
  afterAll(() => parts.disposeAsync());

  /** A connection with a certificate of its own. */
  async function certified(name: string, role: string): Promise<Caller> {
    const alternativeNames = [`URI:tms:role:${role}`];
    const pair = await authority.issue(randomUUID(), { name, alternativeNames, usage: 'clientAuth' });
    return connect(byName(app.app), null, trusting(authority.cert, pair));
  }

  test('stands in the audit log with the certificate’s subject and role, refused or not', async () => {
    using operations = await certified('operations', 'admin');
    using reports = await certified('reports', 'viewer');
    const trail = await auditTrail(app);
    const { tenant } = await operations.unary(rpc.createTenant, { ...newTenant(), tier: '' });
    const id = tenant?.id ?? '';
    expect((await failureOf(reports.unary(rpc.deleteTenant, { id }))).code).toBe('PERMISSION_DENIED');
    await operations.unary(rpc.deleteTenant, { id });
    const by = (subject: string, role: string) => ({ subject, role, transport: 'GRPC', tenant_id: id });
    expect(await trail.news()).toEqual([
      entry({ ...by('CN=operations', 'admin'), action: 'CREATE_TENANT', operation_id: expect.any(String) }),
      entry({ ...by('CN=reports', 'viewer'), action: 'DELETE_TENANT', result: 'FORBIDDEN' }),
      entry({ ...by('CN=operations', 'admin'), action: 'DELETE_TENANT', operation_id: expect.any(String) }),
    ]);
  });

  test('has the rate of the certificate’s subject, whatever the connection, and nobody else’s', async () => {
    using one = await certified('billing', 'viewer');
    using again = await certified('billing', 'viewer');
    using other = await certified('shipping', 'viewer');
    const page = { pageSize: 15, pageToken: '', status: [], tier: '', search: '', deleted: '' };
    const list = (caller: Caller) => caller.unary(rpc.listTenants, page);
    // Connects first, which counts nothing: the second that is counted is short.
    for (const caller of [one, again, other]) await caller.unary(health.check, { service: '' });
    const [first, second, others] = await Promise.allSettled([list(one), list(again), list(other)]);
    const refused = [first, second].filter((end) => end.status === 'rejected');
    expect(refused).toEqual([
      { status: 'rejected', reason: expect.objectContaining({ code: status.RESOURCE_EXHAUSTED }) },
    ]);
    expect(others.status).toBe('fulfilled');
  });
});
