import { pino } from 'pino';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { createGrpcServer } from '../../src/grpc/server.ts';
import { actor } from '../support/actor.ts';
import { unlimited } from '../support/allowance.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { serveAgain } from './extra-server.ts';
import { connect, failureOf } from './grpc-client.ts';
import { lockTenant } from './tenant-lock.ts';

let app: TestApp;

beforeAll(async () => {
  app = await startTestApp({ worker: false });
});

afterAll(() => app[Symbol.asyncDispose]());

async function create(subdomain: string): Promise<string> {
  const input = { name: 'Draining', subdomain, contactEmail: 'owner@example.com' };
  const { tenant } = await app.core.tenants.create(actor('admin', 'test'), input);
  return tenant.id;
}

const rename = (id: string) => ({ id, name: 'Renamed', subdomain: '', status: '' });

test('a drain lets the call finish that is in flight, and takes no other', async () => {
  const id = await create('finishing');
  await using server = await serveAgain(app.core);
  using caller = connect(server.address, null);
  let drained: Promise<void>;
  let renamed: Promise<unknown>;
  {
    await using lock = await lockTenant(app.database, id);
    renamed = caller.unary(rpc.updateTenant, rename(id));
    await vi.waitFor(async () => expect(await lock.waiting()).toBe(1), 5_000);
    drained = server.drain(20_000);
    using latecomer = connect(server.address, null);
    expect(await failureOf(latecomer.unary(rpc.getTenant, { id }))).toMatchObject({ code: 'UNAVAILABLE' });
  }
  expect(await renamed).toMatchObject({ tenant: { name: 'Renamed' } });
  await drained;
});

test('a drain cuts off at its deadline what does not finish, and its statement with it', async () => {
  const id = await create('stuck');
  await using server = await serveAgain(app.core);
  using caller = connect(server.address, null);
  await using lock = await lockTenant(app.database, id);
  const failure = failureOf(caller.unary(rpc.updateTenant, rename(id)));
  await vi.waitFor(async () => expect(await lock.waiting()).toBe(1), 5_000);
  await server.drain(200);
  expect(await failure).toMatchObject({ code: 'CANCELLED' });
  await vi.waitFor(async () => expect(await lock.waiting()).toBe(0), 5_000);
});

test('a drain of a server with idle clients, and a second one, are done at once', async () => {
  await using server = await serveAgain(app.core);
  using caller = connect(server.address, null);
  await failureOf(caller.unary(rpc.getTenant, { id: '' }));
  await server.drain(20_000);
  await server.drain(20_000);
});

test('a port that is taken is refused in one line', async () => {
  await using server = await serveAgain(app.core);
  const second = createGrpcServer({
    allowance: unlimited(),
    requestLimitMs: 30_000,
    core: app.core,
    authenticate: async () => ({ subject: 'test', role: 'admin', expiresAt: Infinity }),
    host: '127.0.0.1',
    port: server.port,
    tls: null,
    reflection: false,
    metrics: new Registry(),
    log: pino({ level: 'silent' }),
  });
  await expect(second).rejects.toThrow(
    /^gRPC cannot listen on 127\.0\.0\.1:\d+ \(--host, --port\): .*EADDRINUSE.*$/,
  );
});
