import { randomUUID } from 'node:crypto';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ProvisioningEvent } from '../../src/core/model.ts';
import type { Feed } from '../../src/events/feed.ts';
import { createRedisFeed } from '../../src/events/redis-feed.ts';
import { eventOf } from '../core/memory-events.ts';
import { eventually } from '../support/eventually.ts';
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts';

// Said once for all files that need it.
if (redisMissing !== null) console.warn(redisMissing);

interface Listening extends AsyncDisposable {
  readonly feed: Feed;
  readonly heard: readonly (ProvisioningEvent | 'resync')[];
  /** The messages of its log. */
  readonly logged: readonly string[];
}

describe.skipIf(redisMissing !== null)('a feed over Redis', () => {
  let redis: TestRedis;
  const registryId = randomUUID();
  const channel = `tms:${registryId}:events`;
  const event = (sequence: number) =>
    eventOf({ tenantId: randomUUID(), operationId: randomUUID(), sequence, createdAt: new Date() });

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis[Symbol.asyncDispose]());

  async function listen(url = redis.url): Promise<Listening> {
    const logged: string[] = [];
    const log = pino({ level: 'debug' }, { write: (line) => void logged.push(JSON.parse(line).msg) });
    const feed = await createRedisFeed({ server: { url, tls: null }, registryId, log });
    const heard: (ProvisioningEvent | 'resync')[] = [];
    feed.subscribe({
      event: (event) => void heard.push(event),
      resync: () => void heard.push('resync'),
    });
    return { feed, heard, logged, [Symbol.asyncDispose]: () => feed[Symbol.asyncDispose]() };
  }

  test('brings whole events to every process, its own too, in the order in which they were published', async () => {
    await using one = await listen();
    await using other = await listen();
    expect(await Promise.all([one.feed.status(), other.feed.status()])).toEqual(['up', 'up']);
    const events = [1, 2, 3, 4].map(event);
    one.feed.publish(events);
    await eventually(() => one.heard.length === 4 && other.heard.length === 4, 5_000);
    expect([one.heard, other.heard]).toEqual([events, events]);
  });

  test('brings what was published last before a process ends', async () => {
    await using other = await listen();
    const ending = await listen();
    const events = Array.from({ length: 200 }, (_, n) => event(n + 1));
    ending.feed.publish(events);
    await ending[Symbol.asyncDispose]();
    await eventually(() => other.heard.length === events.length, 5_000);
    expect(other.heard).toEqual(events);
  });

  test('ignores what is no event, says so, and goes on', async () => {
    await using listening = await listen();
    const client = redis.client();
    const real = event(1);
    const bad: unknown[] = [null, 7, 'text', [], {}, { ...real, sequence: 0 }, { ...real, tenantId: 'x' }];
    bad.push({ ...real, createdAt: 'yesterday' }, { ...real, kind: 'OTHER' }, [real]);
    for (const message of bad) await client.publish(channel, JSON.stringify(message));
    for (const message of ['', '{', '\u0000', 'x'.repeat(1_000_000)]) await client.publish(channel, message);
    await client.publish(`${channel}:other`, JSON.stringify(event(1)));
    await client.publish(channel, JSON.stringify({ ...real, more: 'than known' }));
    await eventually(() => listening.heard.length > 0, 5_000);
    expect(listening.heard).toEqual([real]);
    expect(listening.logged).toEqual(
      Array(bad.length + 4).fill('a message on the events channel is no event; is the channel shared?'),
    );
  });

  test('a listener that fails keeps no event from the others', async () => {
    await using listening = await listen();
    const fail = () => {
      throw new Error('a listener broke');
    };
    listening.feed.subscribe({ event: fail, resync: fail });
    const heard: unknown[] = [];
    const unsubscribe = listening.feed.subscribe({
      event: (event) => void heard.push(event),
      resync: () => {},
    });
    const events = [event(1), event(2)];
    listening.feed.publish(events);
    await eventually(() => heard.length === 2, 5_000);
    expect([heard, listening.heard]).toEqual([events, events]);
    expect(listening.logged).toEqual(Array(2).fill('a listener of events failed'));
    unsubscribe();
    listening.feed.publish([event(3)]);
    await eventually(() => listening.heard.length === 3, 5_000);
    expect(heard).toHaveLength(2);
  });

  test('sends what was published while its connection was broken as soon as it is back', async () => {
    await using one = await listen();
    await using other = await listen();
    for (let round = 1; round <= 5; round++) {
      const before = other.heard.length;
      expect(await redis.killConnections('publisher')).toBe(2);
      const last = event(round);
      // Nothing tells the other process that it misses something: its own connections live.
      one.feed.publish([last]);
      await eventually(() => other.heard.length > before, 5_000);
      expect(other.heard.slice(before)).toContainEqual(last);
      expect(one.heard).toContainEqual(last);
      await eventually(
        async () => (await one.feed.status()) === 'up' && (await other.feed.status()) === 'up',
        5_000,
      );
    }
    expect(other.heard).not.toContain('resync');
  });

  test('is down while Redis hangs, its connections open', async () => {
    await using one = await listen();
    await redis.client().call('CLIENT', 'PAUSE', '3000', 'ALL');
    expect(await one.feed.status()).toBe('down');
    await eventually(async () => (await one.feed.status()) === 'up', 10_000);
  });

  test('keeps the newest thousand events for when Redis is back', async () => {
    await using one = await listen();
    await using other = await listen();
    await redis.goDown();
    await eventually(async () => (await one.feed.status()) === 'down', 5_000);
    const events = Array.from({ length: 1_500 }, (_, n) => event(n + 1));
    one.feed.publish(events);
    await eventually(() => one.heard.length === events.length, 5_000);
    expect(one.heard).toEqual(events);
    await redis.comeBack();
    await eventually(
      async () => (await one.feed.status()) === 'up' && (await other.feed.status()) === 'up',
      10_000,
    );
    // Whoever subscribed again in time hears them; all are told to read.
    await eventually(() => other.heard.includes('resync'), 5_000);
    const marker = event(1);
    one.feed.publish([marker]);
    await eventually(
      () => other.heard.some((heard) => heard !== 'resync' && heard.tenantId === marker.tenantId),
      5_000,
    );
    const republished = other.heard.filter((heard) => heard !== 'resync').slice(0, -1);
    expect(events.slice(-1_000)).toEqual(expect.arrayContaining(republished));
  });

  test('says that events may be lost only when Redis has acknowledged the subscription again', async () => {
    await using listening = await listen();
    const client = redis.client();
    for (let round = 1; round <= 5; round++) {
      const before = listening.heard.length;
      await redis.killConnections('subscriber');
      await eventually(() => listening.heard.length > before, 5_000);
      expect(listening.heard.slice(before)).toEqual(['resync']);
      // From then on everything comes.
      expect(await client.publish(channel, JSON.stringify(event(round)))).toBe(1);
      await eventually(() => listening.heard.length > before + 1, 5_000);
    }
    expect(new Set(listening.logged)).toEqual(
      new Set([
        'the Redis subscriber has no connection; it tries again until it has',
        'the Redis subscriber is connected again',
      ]),
    );
  });

  describe('that Redis lets in later', () => {
    const user = `tms-${randomUUID()}`;
    const withPassword = (password: string) => {
      const url = new URL(redis.url);
      url.username = user;
      url.password = password;
      return url.href;
    };
    const rules = (...more: string[]) => redis.client().call('ACL', 'SETUSER', user, ...more);

    afterAll(() => redis.client().call('ACL', 'DELUSER', user));

    test('starts without, and works when the password is right', async () => {
      await using listening = await listen(withPassword('right'));
      expect(await listening.feed.status()).toBe('down');
      listening.feed.publish([event(1)]);
      await eventually(() => listening.heard.length === 1, 5_000);
      await rules('on', '>right', 'allkeys', 'allchannels', '+@all');
      await eventually(async () => (await listening.feed.status()) === 'up', 10_000);
      const last = event(1);
      listening.feed.publish([last]);
      await eventually(
        () => listening.heard.some((heard) => heard !== 'resync' && heard.tenantId === last.tenantId),
        5_000,
      );
      expect(listening.heard.filter((heard) => heard === 'resync')).toHaveLength(1);
    });

    test('is down while it may not subscribe, and asks again until it may', async () => {
      await rules('on', '>right', 'allkeys', 'allchannels', '+@all', '-subscribe');
      await using listening = await listen(withPassword('right'));
      expect(await listening.feed.status()).toBe('down');
      expect(listening.logged).toContain('Redis refuses the subscription to events; it is tried again');
      await rules('+subscribe');
      await eventually(async () => (await listening.feed.status()) === 'up', 10_000);
      const last = event(1);
      listening.feed.publish([last]);
      await eventually(() => listening.heard.length === 2, 5_000);
      expect(listening.heard).toEqual(['resync', last]);
    });

    test('ends at any time without a word', async () => {
      await rules('on', '>right', 'allkeys', 'allchannels', '+@all', '-subscribe');
      const refused = await Promise.all(['right', 'wrong'].map((password) => listen(withPassword(password))));
      for (const { feed, logged } of refused) {
        const before = logged.length;
        await feed[Symbol.asyncDispose]();
        expect(logged).toHaveLength(before);
      }
    });
  });
});
