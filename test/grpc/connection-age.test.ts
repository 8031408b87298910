import { once } from 'node:events';
import { type AddressInfo, connect as connectSocket, createServer, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { serveAgain } from './extra-server.ts';
import { connect, next } from './grpc-client.ts';

let app: TestApp;

beforeAll(async () => {
  app = await startTestApp({ worker: false });
});
afterAll(() => app[Symbol.asyncDispose]());

/** A way to a server that counts the connections through it. */
async function gate(port: number) {
  const open = new Set<Socket>();
  let made = 0;
  const server = createServer((client) => {
    const behind = connectSocket(port, '127.0.0.1');
    made += 1;
    open.add(client);
    client.on('close', () => open.delete(client));
    // Ends both when either ends.
    pipeline(client, behind, client, () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    made: () => made,
    open: () => open.size,
    [Symbol.dispose]() {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}

test('calls go over to a new connection when theirs is old, and none of them fails; streams stay', async () => {
  const { tenant } = await app.core.tenants.create(actor('admin', 'test'), {
    name: 'Watched',
    subdomain: 'watched',
    contactEmail: 'jo@watched.example',
  });
  await using server = await serveAgain(app.core, { connectionAgeMs: 300 });
  using way = await gate(server.port);
  using caller = connect(way.address, null);
  const stream = caller.stream(rpc.watchProvisioning, { tenantId: tenant.id, afterSequence: 0 });
  const events = stream[Symbol.asyncIterator]();
  expect(await next(events)).toMatchObject({ sequence: 1 });

  const call = async () => {
    while (way.made() < 5) await caller.unary(rpc.getTenant, { id: tenant.id });
  };
  await Promise.all([call(), call(), call(), call()]);

  // The stream is on the first connection, which is there as long as it.
  await app.core.tenants.remove(actor('admin', 'test'), tenant.id);
  expect(await next(events)).toMatchObject({ sequence: 2 });
  stream.cancel();
  await vi.waitFor(() => expect(way.open()).toBe(0), 5_000);
}, 30_000);
