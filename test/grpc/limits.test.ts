import { connect as connectHttp2 } from 'node:http2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { type Caller, connect, failureOf } from './grpc-client.ts';
import { lockTenant } from './tenant-lock.ts';

let app: TestApp;
let editor: Caller;

beforeAll(async () => {
  app = await startTestApp({ worker: false });
  editor = connect(app.grpcAddress, app.tokens.editor);
});
afterAll(async () => {
  editor[Symbol.dispose]();
  await app[Symbol.asyncDispose]();
});

test('a message of more than 64 KiB is refused before it is read', async () => {
  const create = (name: string) =>
    failureOf(
      editor.unary(rpc.createTenant, { name, subdomain: 'long', contactEmail: 'jo@a.example', tier: '' }),
    );
  expect(await create('x'.repeat(60_000))).toMatchObject({ code: 'INVALID_ARGUMENT' });
  expect(await create('x'.repeat(70_000))).toMatchObject({ code: 'RESOURCE_EXHAUSTED' });
});

test('metadata of more than 64 KiB ends the connection, of more than 128 entries the call', async () => {
  const id = '00000000-0000-0000-0000-000000000000';
  const get = (metadata: (readonly [string, string])[]) =>
    failureOf(editor.unary(rpc.getTenant, { id }, { metadata }));
  expect(await get([['x-large', 'x'.repeat(60_000)]])).toMatchObject({ code: 'NOT_FOUND' });
  // What the transport says of itself, the client puts in its own words.
  expect(await get([['x-large', 'x'.repeat(80_000)]])).toMatchObject({
    code: expect.stringMatching(/^(INTERNAL|UNAVAILABLE)$/),
    reason: null,
  });
  expect(await get(Array.from({ length: 200 }, (_, n) => [`x-${n}`, '1']))).toMatchObject({
    code: 'RESOURCE_EXHAUSTED',
  });
  expect(await get([])).toMatchObject({ code: 'NOT_FOUND' });
});

test('a connection is told how many calls it may have at once', async () => {
  const session = connectHttp2(`http://${app.grpcAddress}`);
  try {
    const settings = await new Promise<unknown>((resolve) => session.once('remoteSettings', resolve));
    expect(settings).toMatchObject({ maxConcurrentStreams: 1_000 });
  } finally {
    session.destroy();
  }
});

test('a call that takes too long is ended, also when its client would wait', async () => {
  await using hasty = await startTestApp({ worker: false, timings: { requestLimitMs: 500 } });
  using caller = connect(hasty.grpcAddress, hasty.tokens.editor);
  const { tenant } = await hasty.core.tenants.create(actor('admin', 'test'), {
    name: 'Held',
    subdomain: 'held',
    contactEmail: 'jo@held.example',
  });
  await using _lock = await lockTenant(hasty.database, tenant.id);
  const rename = { id: tenant.id, name: 'Late', subdomain: '', status: '' };
  expect(await failureOf(caller.unary(rpc.updateTenant, rename))).toEqual({
    code: 'DEADLINE_EXCEEDED',
    message: 'The deadline passed before the call was done.',
    reason: null,
    fields: [],
  });
});
