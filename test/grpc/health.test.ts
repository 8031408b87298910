import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { LimitExceededError } from '../../src/core/errors.ts';
import {
  HealthService as health,
  HealthCheckResponse_ServingStatus as Serving,
} from '../../src/generated/proto/grpc/health/v1/health.ts';
import { createHealthWatches } from '../../src/grpc/health-watches.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { eventually } from '../support/eventually.ts';
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

test('an address has twenty watches, however many connections, and checks besides', async () => {
  await using server = await serveAgain(app.core);
  using caller = connect(server.address, null);
  using another = connect(server.address, null);
  const watch = async (from: typeof caller) => {
    const stream = from.stream(health.watch, { service: '' });
    stream.on('error', () => {});
    await once(stream, 'data');
    return stream;
  };
  const open = await Promise.all(Array.from({ length: 20 }, (_, n) => watch(n % 2 ? caller : another)));
  const refused = {
    code: 'RESOURCE_EXHAUSTED',
    message: 'Your address has 20 health watches open, as many as are allowed; close one, or call Check.',
    reason: 'LIMIT_EXCEEDED',
    fields: [],
  };
  for (const from of [caller, another]) expect(await failureOf(watch(from))).toEqual(refused);
  expect(await caller.unary(health.check, { service: '' })).toEqual({ status: Serving.NOT_SERVING });
  open[0]?.cancel();
  const next = await eventually(() => watch(another), 5_000);
  for (const stream of [...open, next]) stream.cancel();
});

test('a thousand watches are open at once, of all addresses together', () => {
  const watches = createHealthWatches();
  const open = Array.from({ length: 1_000 }, (_, n) => watches.open(`192.0.2.${n % 100}`));
  expect(() => watches.open('198.51.100.1')).toThrow(
    'There are 1000 health watches open, as many as are allowed; call Check, or watch again later.',
  );
  open[0]?.[Symbol.dispose]();
  open[0]?.[Symbol.dispose]();
  watches.open('198.51.100.1');
  expect(() => watches.open('198.51.100.1')).toThrow(LimitExceededError);
});
