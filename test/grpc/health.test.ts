import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  HealthService as health,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../src/generated/proto/grpc/health/v1/health.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { serveAgain } from './extra-server.ts';
import { connect, failureOf, next } from './grpc-client.ts';

let app: TestApp;

beforeAll(async () => {
  app = await startTestApp();
});

afterAll(() => app[Symbol.asyncDispose]());

test('the running service serves, as a whole and by name', async () => {
  using caller = connect(app.grpcAddress, null);
  for (const service of ['', 'tenant.v1.TenantService', 'connectionpool.ConnectionPoolService']) {
    expect(await caller.unary(health.check, { service })).toEqual({ status: Serving.SERVING });
  }
  expect(await caller.unary(health.list, {})).toEqual({
    statuses: {
      '': { status: Serving.SERVING },
      'tenant.v1.TenantService': { status: Serving.SERVING },
      'connectionpool.ConnectionPoolService': { status: Serving.SERVING },
    },
  });
});

test('a service that is none is NOT_FOUND', async () => {
  using caller = connect(app.grpcAddress, null);
  expect(await failureOf(caller.unary(health.check, { service: 'tenant.v2.TenantService' }))).toMatchObject({
    code: 'NOT_FOUND',
  });
});

test('a check says whether the server was told to serve', async () => {
  await using server = await serveAgain(app.core);
  using caller = connect(server.address, null);
  const check = async () => (await caller.unary(health.check, { service: '' })).status;
  expect(await check()).toBe(Serving.NOT_SERVING);
  server.setServing(true);
  expect(await check()).toBe(Serving.SERVING);
  server.setServing(false);
  expect(await check()).toBe(Serving.NOT_SERVING);
});

test('a watch tells each change once', async () => {
  await using server = await serveAgain(app.core);
  using caller = connect(server.address, null);
  const stream = caller.stream(health.watch, { service: 'tenant.v1.TenantService' });
  const statuses = stream[Symbol.asyncIterator]();
  expect(await next(statuses)).toEqual({ status: Serving.NOT_SERVING });
  server.setServing(false);
  server.setServing(true);
  expect(await next(statuses)).toEqual({ status: Serving.SERVING });
  server.setServing(false);
  expect(await next(statuses)).toEqual({ status: Serving.NOT_SERVING });
  stream.cancel();
});

test('a watch of an unknown service says so and stays open', async () => {
  await using server = await serveAgain(app.core);
  using caller = connect(server.address, null);
  const stream = caller.stream(health.watch, { service: 'nonsense' });
  const end = failureOf(once(stream, 'end'));
  const [told] = await once(stream, 'data');
  expect(told).toEqual({ status: Serving.SERVICE_UNKNOWN });
  await server.drain(5_000);
  expect(await end).toMatchObject({ code: 'UNAVAILABLE' });
});
