import { randomUUID } from 'node:crypto';
import { Metadata } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ForbiddenError } from '../../src/core/errors.ts';
import { type Role, roleIncludes, roles } from '../../src/core/model.ts';
import { ConnectionPoolServiceService as pool } from '../../src/generated/proto/connectionpool/connection_pool.ts';
import { HealthService } from '../../src/generated/proto/grpc/health/v1/health.ts';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { admit } from '../../src/grpc/access.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { all, type Caller, connect, type Failure, failureOf } from './grpc-client.ts';

let app: TestApp;

beforeAll(async () => {
  app = await startTestApp();
});

afterAll(() => app[Symbol.asyncDispose]());

const id = randomUUID();
const update = { id, name: 'Name', subdomain: '', status: '' };
const list = { pageSize: 0, pageToken: '', status: [], tier: '', search: '', deleted: '' };

/** Every method, called so that it fails or has no effect where the caller is admitted. */
const methods: Record<
  keyof typeof rpc | keyof typeof pool,
  { least: Role; call: (caller: Caller) => Promise<unknown> }
> = {
  createTenant: {
    least: 'editor',
    call: (caller) => caller.unary(rpc.createTenant, { name: '', subdomain: '', contactEmail: '', tier: '' }),
  },
  getTenant: { least: 'viewer', call: (caller) => caller.unary(rpc.getTenant, { id }) },
  updateTenant: { least: 'editor', call: (caller) => caller.unary(rpc.updateTenant, update) },
  deleteTenant: { least: 'admin', call: (caller) => caller.unary(rpc.deleteTenant, { id }) },
  listTenants: { least: 'viewer', call: (caller) => caller.unary(rpc.listTenants, list) },
  restoreTenant: { least: 'admin', call: (caller) => caller.unary(rpc.restoreTenant, { id }) },
  retryOperation: { least: 'editor', call: (caller) => caller.unary(rpc.retryOperation, { id }) },
  cancelOperation: { least: 'editor', call: (caller) => caller.unary(rpc.cancelOperation, { id }) },
  watchProvisioning: {
    least: 'viewer',
    call: (caller) => all(caller.stream(rpc.watchProvisioning, { tenantId: id, afterSequence: 0 })),
  },
  getConnection: {
    least: 'admin',
    call: (caller) => caller.unary(pool.getConnection, { tenantId: id, dsn: '' }),
  },
  releaseConnection: {
    least: 'admin',
    call: (caller) => caller.unary(pool.releaseConnection, { connectionId: id }),
  },
  getPoolStats: { least: 'admin', call: (caller) => caller.unary(pool.getPoolStats, { tenantId: id }) },
};

async function outcome(token: string | null, call: (caller: Caller) => Promise<unknown>): Promise<string> {
  using caller = connect(app.grpcAddress, token);
  try {
    await call(caller);
    return 'admitted';
  } catch (error) {
    const { code }: Failure = await failureOf(Promise.reject(error));
    return code === 'UNAUTHENTICATED' || code === 'PERMISSION_DENIED' ? code : 'admitted';
  }
}

describe.each(Object.entries(methods))('%s', (_, { least, call }) => {
  test.each([
    ['no token', null],
    ['a token that is none', 'nonsense'],
    ['a token of another secret', 'eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoiYWRtaW4ifQ.AAAA'],
  ])('refuses %s', async (_, token) => {
    expect(await outcome(token, call)).toBe('UNAUTHENTICATED');
  });

  test.each(roles)(`needs a role of at least ${least}: %s`, async (role) => {
    expect(await outcome(app.tokens[role], call)).toBe(
      roleIncludes(role, least) ? 'admitted' : 'PERMISSION_DENIED',
    );
  });
});

test('a refusal says what is missing, and nothing of the token', async () => {
  using nobody = connect(app.grpcAddress, null);
  using viewer = connect(app.grpcAddress, app.tokens.viewer);
  expect(await failureOf(nobody.unary(rpc.getTenant, { id }))).toMatchObject({ reason: 'UNAUTHENTICATED' });
  expect(await failureOf(viewer.unary(rpc.deleteTenant, { id }))).toEqual({
    code: 'PERMISSION_DENIED',
    message: "This call needs the role admin; the token's role is viewer.",
    reason: 'FORBIDDEN',
    fields: [],
  });
});

test('a method that the table does not know is refused to everybody', async () => {
  const admitted = () =>
    admit('/tenant.v1.TenantService/DropTenant', new Metadata(), async () => ({
      subject: 'test',
      role: 'admin',
      expiresAt: Infinity,
    }));
  await expect(admitted()).rejects.toThrow(ForbiddenError);
});

test('health needs no token', async () => {
  using nobody = connect(app.grpcAddress, null);
  await nobody.unary(HealthService.check, { service: '' });
  await nobody.unary(HealthService.list, {});
});

test('calls move the metrics, by method and code', async () => {
  using viewer = connect(app.grpcAddress, app.tokens.viewer);
  const labels = 'grpc_service="tenant.v1.TenantService",grpc_method="GetTenant"';
  const handled = `grpc_server_handled_total{${labels},grpc_code="NOT_FOUND"}`;
  const count = `grpc_server_handling_seconds_count{${labels}}`;
  const before = await scrape();
  await failureOf(viewer.unary(rpc.getTenant, { id }));
  const after = await scrape();
  expect((after.get(handled) ?? 0) - (before.get(handled) ?? 0)).toBe(1);
  expect((after.get(count) ?? 0) - (before.get(count) ?? 0)).toBe(1);
});

async function scrape(): Promise<Map<string, number>> {
  const text = await (await fetch(`${app.httpUrl}/metrics`)).text();
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    samples.map((line) => [
      line.slice(0, line.lastIndexOf(' ')),
      Number(line.slice(line.lastIndexOf(' ') + 1)),
    ]),
  );
}
