import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ForbiddenError } from '../../src/core/errors.ts';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { admit } from '../../src/grpc/access.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { connect, failureOf } from './grpc-client.ts';

let app: TestApp;

beforeAll(async () => {
  app = await startTestApp();
});

afterAll(() => app[Symbol.asyncDispose]());

const id = randomUUID();
test('a refusal says what is missing, and nothing of the token', async () => {
  using nobody = connect(app.grpcAddress, null);
  using viewer = connect(app.grpcAddress, app.tokens.viewer);
  expect(await failureOf(nobody.unary(rpc.getTenant, { id }))).toMatchObject({ reason: 'UNAUTHENTICATED' });
  expect(await failureOf(viewer.unary(rpc.deleteTenant, { id }))).toEqual({
    code: 'PERMISSION_DENIED',
    message: 'This call needs the role admin; your role is viewer.',
    reason: 'FORBIDDEN',
    fields: [],
  });
});

test('a method that the table does not know is refused to everybody', () => {
  const admitted = () =>
    admit('/tenant.v1.TenantService/DropTenant', { subject: 'test', role: 'admin', expiresAt: Infinity });
  expect(admitted).toThrow(ForbiddenError);
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
