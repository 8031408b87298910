import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import {
  type ProvisioningEvent,
  TenantServiceService as rpc,
} from '../../src/generated/proto/tenant/v1/tenant.ts';
import { issueToken } from '../../src/http/token.ts';
import { editor } from '../core/core-app.ts';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { serveAgain } from './extra-server.ts';
import { all, type Caller, connect, failureOf, next } from './grpc-client.ts';

let app: TestApp;
let admin: Caller;
let viewer: Caller;

beforeAll(async () => {
  app = await startTestApp();
  admin = connect(app.grpcAddress, app.tokens.admin);
  viewer = connect(app.grpcAddress, app.tokens.viewer);
});

afterAll(async () => {
  admin[Symbol.dispose]();
  viewer[Symbol.dispose]();
  await app[Symbol.asyncDispose]();
});

async function create(subdomain: string): Promise<string> {
  const contactEmail = 'owner@example.com';
  const { tenant } = await admin.unary(rpc.createTenant, {
    name: 'Watched',
    subdomain,
    contactEmail,
    tier: '',
  });
  return tenant?.id ?? '';
}

const watch = (caller: Caller, tenantId: string, afterSequence = 0) =>
  caller.stream(rpc.watchProvisioning, { tenantId, afterSequence });

const sequences = (events: readonly ProvisioningEvent[]) => events.map(({ sequence }) => sequence);

describe('the events of a tenant that comes up', () => {
  let events: ProvisioningEvent[];
  let id: string;

  beforeAll(async () => {
    id = await create('watched');
    events = await all(watch(viewer, id));
  });

  test('come without gaps or repeats, and the stream ends when the tenant is up', () => {
    expect(sequences(events)).toEqual(events.map((_, index) => index + 1));
    expect(events.at(-1)).toEqual({
      tenantId: id,
      operationId: expect.stringMatching(/^[0-9a-f-]{36}$/),
      kind: 'provision',
      operationState: 'succeeded',
      sequence: events.length,
      step: 'activate',
      status: 'success',
      completedSteps: 5,
      totalSteps: 5,
      message: expect.any(String),
      tenantStatus: 'active',
      createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    });
  });

  test('come again for who asks later', async () => {
    expect(await all(watch(viewer, id))).toEqual(events);
  });

  test('come from where the caller is', async () => {
    expect(await all(watch(viewer, id, 3))).toEqual(events.slice(3));
    expect(await all(watch(viewer, id, events.length))).toEqual([]);
    expect(await all(watch(viewer, id, 2_147_483_647))).toEqual([]);
  });

  test('come to who joins in the middle as to everybody else', async () => {
    const joined = await create('joined');
    const first = watch(viewer, joined)[Symbol.asyncIterator]();
    const begun = [await next(first), await next(first)];
    const second = all(watch(viewer, joined));
    const rest = await all({ [Symbol.asyncIterator]: () => first });
    expect(await second).toEqual([...begun, ...rest]);
  });
});

describe('a stream', () => {
  test('of an unknown tenant is NOT_FOUND', async () => {
    expect(await failureOf(all(watch(viewer, randomUUID())))).toMatchObject({
      code: 'NOT_FOUND',
      reason: 'NOT_FOUND',
    });
  });

  test('of a deleted tenant is for admins', async () => {
    const id = await create('deleted');
    await all(watch(admin, id));
    await admin.unary(rpc.deleteTenant, { id });
    expect(await failureOf(all(watch(viewer, id)))).toMatchObject({ code: 'NOT_FOUND' });
    expect((await all(watch(admin, id))).at(-1)).toMatchObject({
      kind: 'delete',
      operationState: 'succeeded',
    });
  });

  test.each([
    ['tenant_id', 'nonsense', 0],
    ['after_sequence', randomUUID(), -1],
  ])('with a bad %s is refused', async (field, tenantId, afterSequence) => {
    expect(await failureOf(all(watch(viewer, tenantId, afterSequence)))).toMatchObject({
      code: 'INVALID_ARGUMENT',
      fields: [field],
    });
  });

  test('that is not read for a while loses nothing', async () => {
    const id = await create('slow');
    const events = await all(watch(admin, id));
    const stream = watch(viewer, id);
    const seen: ProvisioningEvent[] = [];
    stream.on('data', (event) => {
      seen.push(event);
      stream.pause();
      setImmediate(() => stream.resume());
    });
    await once(stream, 'end');
    expect(seen).toEqual(events);
  });
});

describe('a stream that waits for what comes', () => {
  // Without a worker an operation stays unfinished, and so does the stream.
  let idle: TestApp;

  beforeAll(async () => {
    idle = await startTestApp({ worker: false });
  });

  afterAll(() => idle[Symbol.asyncDispose]());

  async function createPending(subdomain: string): Promise<string> {
    const input = { name: 'Waiting', subdomain, contactEmail: 'owner@example.com' };
    const { tenant } = await idle.core.tenants.create(actor('admin', 'test'), input);
    return tenant.id;
  }

  test('is released when its client leaves', async () => {
    const id = await createPending('left');
    await using server = await serveAgain(idle.core);
    using caller = connect(server.address, null);
    const stream = watch(caller, id);
    await once(stream, 'data');
    expect(server.openWatches()).toBe(1);
    const end = failureOf(once(stream, 'end'));
    stream.cancel();
    expect(await end).toMatchObject({ code: 'CANCELLED' });
    await vi.waitFor(() => expect(server.openWatches()).toBe(0), 5_000);
  });

  test('ends with UNAUTHENTICATED when its token expires, and goes on with a new one', async () => {
    const id = await createPending('expired');
    const token = await issueToken(idle.secret, { subject: 'short', role: 'viewer', expiresIn: 3 });
    using caller = connect(idle.grpcAddress, token);
    const stream = watch(caller, id);
    await once(stream, 'data');
    expect(await failureOf(once(stream, 'end'))).toEqual({
      code: 'UNAUTHENTICATED',
      message:
        'Your token or certificate has expired; get a new one and watch again behind the last sequence.',
      reason: 'UNAUTHENTICATED',
      fields: [],
    });

    using renewed = connect(idle.grpcAddress, idle.tokens.viewer);
    const again = watch(renewed, id);
    const events = again[Symbol.asyncIterator]();
    expect(await next(events)).toMatchObject({ sequence: 1 });
    await idle.core.tenants.remove(editor, id);
    expect(await next(events)).toMatchObject({ sequence: 2 });
    again.cancel();
  });

  test('is released at its deadline', async () => {
    const id = await createPending('late');
    await using server = await serveAgain(idle.core);
    using caller = connect(server.address, null);
    const request = { tenantId: id, afterSequence: 0 };
    const stream = caller.stream(rpc.watchProvisioning, request, { timeoutMs: 300 });
    expect(await failureOf(all(stream))).toMatchObject({ code: 'DEADLINE_EXCEEDED' });
    await vi.waitFor(() => expect(server.openWatches()).toBe(0), 5_000);
  });

  test('ends with UNAVAILABLE when its server shuts down, and goes on at another one', async () => {
    const id = await createPending('moved');
    await using first = await serveAgain(idle.core);
    using firstCaller = connect(first.address, null);
    const stream = watch(firstCaller, id);
    const [begun]: ProvisioningEvent[] = await once(stream, 'data');
    const end = failureOf(once(stream, 'end'));
    await first.drain(5_000);
    expect(await end).toMatchObject({ code: 'UNAVAILABLE' });
    expect(first.openWatches()).toBe(0);

    await using second = await serveAgain(idle.core);
    using secondCaller = connect(second.address, null);
    const resumed = watch(secondCaller, id, begun?.sequence);
    const events = resumed[Symbol.asyncIterator]();
    await idle.core.tenants.remove(editor, id);
    const more = [await next(events), await next(events)];
    expect(sequences(more)).toEqual([2, 3]);
    expect(more).toMatchObject([
      { kind: 'provision', operationState: 'cancelled' },
      { kind: 'delete', operationState: 'pending' },
    ]);
    resumed.cancel();
  });
});
