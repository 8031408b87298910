import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { createRateLimit } from '../../src/limits/rate-limit.ts';
import { closeRedis, connectRedis } from '../../src/redis/redis-connection.ts';
import { eventually } from '../support/eventually.ts';
import { redisMissing, startRedis } from '../support/redis.ts';

const log = pino({ level: 'silent' });

describe('in one process', () => {
  const limited = () => createRateLimit({ objectsPerSecond: 10, shared: null, log });

  test('a subject has so many objects a second, each for itself', async () => {
    const { take } = limited();
    expect(await take('a', 6)).toBe(0);
    expect(await take('a', 4)).toBe(0);
    const wait = await take('a', 1);
    expect(wait).toBeGreaterThan(0);
    expect(wait).toBeLessThanOrEqual(1_000);
    expect(await take('b', 10)).toBe(0);
  });

  test('after the wait there are objects again', async () => {
    const { take } = limited();
    await take('a', 10);
    expect(await take('a', 1)).toBeGreaterThan(0);
    await eventually(async () => (await take('a', 1)) === 0, 5_000);
  });

  test('more than a second has may be asked for in a second of its own', async () => {
    const { take } = limited();
    expect(await take('a', 700)).toBe(0);
    expect(await take('a', 1)).toBeGreaterThan(0);
  });
});

/** As long as a digest. */
const nameOf = (subject: string) => Buffer.from(subject).toString('base64url').padEnd(43, '_');

if (redisMissing !== null) console.warn(redisMissing);

describe.skipIf(redisMissing !== null)('with Redis', () => {
  test('processes count together, and the key says nothing of the subject', async () => {
    await using redis = await startRedis();
    await using parts = new AsyncDisposableStack();
    const process = async () => {
      const connection = parts.adopt(connectRedis({ url: redis.url, tls: null }, 'limiter', log), closeRedis);
      await eventually(async () => connection.status === 'ready', 5_000);
      return createRateLimit({
        objectsPerSecond: 10,
        shared: { kind: 'redis', redis: connection, registryId: 'r', nameOf },
        log,
      });
    };
    const [one, another] = [await process(), await process()];
    expect(await one.take('jo@a.example', 10)).toBe(0);
    expect(await another.take('jo@a.example', 1)).toBeGreaterThan(0);
    expect(await another.take('somebody', 10)).toBe(0);
    const keys = await redis.client().keys('*');
    expect(keys).toEqual(keys.filter((key) => /^tms:r:objects:[\w-]{43}$/.test(key)));
    expect(keys).toHaveLength(2);
  });

  test('a Redis that goes fails nobody; this process counts alone', async () => {
    await using redis = await startRedis();
    await using parts = new AsyncDisposableStack();
    const connection = parts.adopt(connectRedis({ url: redis.url, tls: null }, 'limiter', log), closeRedis);
    await eventually(async () => connection.status === 'ready', 5_000);
    const { take } = createRateLimit({
      objectsPerSecond: 10,
      shared: { kind: 'redis', redis: connection, registryId: 'r', nameOf },
      log,
    });
    await redis.goDown();
    expect(await take('a', 10)).toBe(0);
    expect(await take('a', 1)).toBeGreaterThan(0);
  });
});
