import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { take } from '../http/graphql-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts';
import {
  create,
  eventsOf,
  minute,
  openFeed,
  openStream,
  range,
  sequencesOf,
  eventsOfProvisioning as total,
  watched,
} from './provisioning.ts';

async function health({ httpUrl }: TestApp): Promise<{ code: number; status: string; redis: string }> {
  const response = await fetch(`${httpUrl}/health`);
  const { status, checks } = (await response.json()) as { status: string; checks: { redis: string } };
  return { code: response.status, status, redis: checks.redis };
}
const healthy = { code: 200, status: 'ok', redis: 'up' };
const degraded = { code: 200, status: 'degraded', redis: 'down' };

async function become(state: typeof healthy, apps: readonly TestApp[]): Promise<void> {
  const states = () => Promise.all(apps.map(health));
  await eventually(async () => (await states()).every(({ redis }) => redis === state.redis), 10_000);
  expect(await states()).toEqual(apps.map(() => state));
}

describe.skipIf(redisMissing !== null)('Redis', () => {
  const stack = new AsyncDisposableStack();
  let database: TestDatabase;
  let redis: TestRedis;
  /** Works, and serves. */
  let worker: TestApp;
  /** Hears of the work by Redis alone. */
  let api: TestApp;
  /** As good as without Redis. */
  let polling: TestApp;

  const start = (rereadIntervalMs: number, withWorker = false) =>
    startTestApp({ database, worker: withWorker, redisUrl: redis.url, timings: { rereadIntervalMs } });

  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
    redis = stack.use(await startRedis());
    worker = stack.use(await start(minute, true));
    api = stack.use(await start(minute));
    polling = stack.use(await start(200));
  });
  afterAll(() => stack.disposeAsync());

  test('that loses its connections again and again loses, repeats and reorders no event', async () => {
    const began = performance.now();
    using feed = await openFeed(api);
    const names = range(1, 8).map((n) => `killed-${n}`);
    const ids = await Promise.all(names.map((name) => create(api, name)));
    const streams = Promise.all(ids.map((id) => watched(api, id)));
    const fed: unknown[] = [];
    let killed = 0;
    while (fed.length < ids.length * total) {
      fed.push(...(await take(feed, 'provisioningFeed', 1)));
      if (fed.length % 11 === 3) killed += await redis.killConnections('subscriber');
      if (fed.length % 11 === 8) killed += await redis.killConnections('publisher');
    }
    for (const events of await streams) expect(sequencesOf(events)).toEqual(range(1, total));
    for (const id of ids) {
      const ofTenant = fed.filter((event) => Reflect.get(Object(event), 'tenantId') === id);
      expect(ofTenant).toEqual(await watched(api, id));
    }
    expect(killed).toBeGreaterThan(10);
    expect(performance.now() - began).toBeLessThan(minute / 2);
    await become(healthy, [api, worker]);
  });

  test('that is gone delays the watchers of other processes and nobody else; when it is back it pushes again', async () => {
    await redis.goDown();
    const apps = [worker, api, polling];
    await become(degraded, apps);

    const id = await create(worker, 'alone');
    using waiting = await openStream(api, id);
    const begun = await take(waiting, 'tenantProvisioning', 1);
    const [own, polled] = await Promise.all([watched(worker, id), watched(polling, id)]);
    expect(sequencesOf(own)).toEqual(range(1, total));
    expect(polled).toEqual(own);

    const back = performance.now();
    await redis.comeBack();
    expect([...begun, ...(await eventsOf(waiting))]).toEqual(own);
    await become(healthy, apps);
    const next = await create(worker, 'together');
    expect(sequencesOf(await watched(api, next))).toEqual(range(1, total));
    expect(performance.now() - back).toBeLessThan(minute / 2);
  });

  test('that is away when a process starts keeps it from nothing', async () => {
    await redis.goDown();
    await using late = await start(minute, true);
    expect(await health(late)).toEqual(degraded);
    const id = await create(late, 'without');
    expect((await watched(polling, id)).length).toBe(total);
    await redis.comeBack();
    await become(healthy, [late, api]);
    const next = await create(api, 'with');
    expect(sequencesOf(await watched(late, next))).toEqual(range(1, total));
  });

  test('that is away when a process ends does not hold it up, nor break it', async () => {
    const ending = await start(minute, true);
    await redis.goDown();
    const never = await start(minute);
    const began = performance.now();
    await Promise.all([ending[Symbol.asyncDispose](), never[Symbol.asyncDispose]()]);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(
      [...ending.logged, ...never.logged].map((line) => JSON.parse(line)).filter(({ level }) => level >= 50),
    ).toEqual([]);
    await redis.comeBack();
  });
});
