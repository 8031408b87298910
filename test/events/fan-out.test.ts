import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { issueToken } from '../../src/http/token.ts';
import { eventOf } from '../core/memory-events.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts';
import { channelOf, minute, range } from './provisioning.ts';

const query = 'subscription ($ids: [ID!]) { provisioningFeed(tenantIds: $ids) { sequence message } }';

interface Subscriber extends Disposable {
  readonly socket: Socket;
  /** The sequences that have come. */
  readonly seen: readonly number[];
}

describe.skipIf(redisMissing !== null)('subscribers', () => {
  const stack = new AsyncDisposableStack();
  let redis: TestRedis;
  let app: TestApp;
  let channel: string;

  beforeAll(async () => {
    redis = stack.use(await startRedis());
    app = stack.use(
      await startTestApp({ worker: false, redisUrl: redis.url, timings: { rereadIntervalMs: minute } }),
    );
    channel = await channelOf(app);
  });
  afterAll(() => stack.disposeAsync());

  /** A bare socket: a thousand clients would cost more than what is tested. Its stream is open when this resolves. */
  async function subscribe(subject: string, variables: object): Promise<Subscriber> {
    const token = await issueToken(app.secret, { subject, role: 'viewer', expiresIn: 3_600 });
    const { hostname, port, host } = new URL(app.httpUrl);
    const socket = connect(Number(port), hostname).setEncoding('latin1');
    const body = JSON.stringify({ query, variables });
    const head = [
      'POST /graphql HTTP/1.1',
      `host: ${host}`,
      `authorization: Bearer ${token}`,
      'accept: text/event-stream',
      'content-type: application/json',
      `content-length: ${body.length}`,
    ];
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
    const seen: number[] = [];
    let text = '';
    socket.on('data', (data) => {
      text += data;
      const whole = text.lastIndexOf('\n\n') + 2;
      for (const [, sequence] of text.slice(0, whole).matchAll(/"sequence":(\d+)/g))
        seen.push(Number(sequence));
      text = text.slice(whole);
    });
    await once(socket, 'data');
    return { socket, seen, [Symbol.dispose]: () => void socket.destroy() };
  }

  /** Tells of a new tenant's events as another process would. */
  function newTenant() {
    const tenantId = randomUUID();
    const client = redis.client();
    let last = 0;
    return {
      tenantId,
      async tell(count: number, message: string | null = null): Promise<void> {
        for (const sequence of range(last + 1, last + count)) {
          const event = eventOf({ tenantId, sequence, message, createdAt: new Date() });
          await client.publish(channel, JSON.stringify(event));
        }
        last += count;
      },
    };
  }

  const active = async () =>
    /^graphql_subscriptions_active (\d+)$/m.exec(await (await fetch(`${app.httpUrl}/metrics`)).text())?.[1];

  test('a thousand receive every event once and in order, whoever leaves meanwhile', async () => {
    using parts = new DisposableStack();
    const subscribers: Subscriber[] = [];
    // As many as a subject may have, ten times.
    for (const subject of range(1, 10)) {
      const some = await Promise.all(range(1, 100).map(() => subscribe(`subject-${subject}`, {})));
      subscribers.push(...some.map((one) => parts.use(one)));
    }
    expect(await active()).toBe('1000');
    const { tell } = newTenant();
    await tell(10);
    await vi.waitFor(
      () => expect(subscribers.map(({ seen }) => seen)).toEqual(Array(1_000).fill(range(1, 10))),
      { timeout: minute, interval: 100 },
    );
    const [first, ...rest] = subscribers;
    first?.socket.destroy();
    await tell(10);
    await vi.waitFor(() => expect(rest.map(({ seen }) => seen)).toEqual(Array(999).fill(range(1, 20))), {
      timeout: minute,
      interval: 100,
    });
    expect(first?.seen).toEqual(range(1, 10));
    expect(await active()).toBe('999');
  });

  test('one that reads nothing holds up nobody, and has everything when it reads', async () => {
    const { tenantId, tell } = newTenant();
    using parts = new DisposableStack();
    const [slow, ...others] = await Promise.all(
      range(1, 5).map(async () => parts.use(await subscribe('slow', { ids: [tenantId] }))),
    );
    slow?.socket.pause();
    // 30 MB, more than the buffers of a connection hold.
    await tell(400, 'x'.repeat(75_000));
    await vi.waitFor(() => expect(others.map(({ seen }) => seen)).toEqual(Array(4).fill(range(1, 400))), {
      timeout: minute,
      interval: 100,
    });
    expect(slow?.seen).toEqual([]);
    await tell(1);
    await vi.waitFor(() => expect(others.map(({ seen }) => seen.at(-1))).toEqual(Array(4).fill(401)));
    slow?.socket.resume();
    await vi.waitFor(() => expect(slow?.seen).toEqual(range(1, 401)), { timeout: minute, interval: 100 });
  });
});
