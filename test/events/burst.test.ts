import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ProvisioningEvent } from '../../src/core/model.ts';
import { editor } from '../core/core-app.ts';
import { take } from '../http/graphql-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts';
import {
  create,
  minute,
  openFeed,
  range,
  sequencesOf,
  eventsOfProvisioning as total,
} from './provisioning.ts';

const tenants = 50;
const watchersPerTenant = 10;

describe.skipIf(redisMissing !== null)('fifty tenants at once', () => {
  const stack = new AsyncDisposableStack();
  let redis: TestRedis;
  let api: TestApp;
  let worker: TestApp;

  beforeAll(async () => {
    const database = stack.use(await createTestDatabase());
    redis = stack.use(await startRedis());
    const options = { database, redisUrl: redis.url, timings: { rereadIntervalMs: minute } };
    api = stack.use(await startTestApp({ ...options, worker: false }));
    const earlier = await create(api, 'earlier');
    expect(earlier).not.toBe('');
    worker = stack.use(await startTestApp(options));
    for await (const _ of worker.core.watch.one(earlier, 0));
  });
  afterAll(() => stack.disposeAsync());

  test('with five hundred watchers and two feeds: each gets exactly its events, each tenant in order', async () => {
    using all = await openFeed(api);
    const ids = await Promise.all(range(1, tenants).map((n) => create(api, `burst-${n}`)));
    const chosen = ids.slice(0, 5);
    const few = await worker.core.watch.many(chosen);
    const fewSeen = (async () => {
      const last = new Map<string, number>();
      const seen: ProvisioningEvent[] = [];
      for await (const event of few) {
        if (event.kind === 'PROVISION') seen.push(event);
        last.set(event.tenantId, event.sequence);
        // The deletion at the very end. Who was up before the stream began has no event in it.
        if (
          last.get(chosen[0] ?? '') === total + 1 &&
          [...last.values()].every((sequence) => sequence >= total)
        )
          break;
      }
      return seen;
    })();
    const watchers = ids.flatMap((id) =>
      range(1, watchersPerTenant).map(async () => {
        const seen: ProvisioningEvent[] = [];
        for await (const event of api.core.watch.one(id, 0)) seen.push(event);
        return { id, seen };
      }),
    );
    const fed = await take(all, 'provisioningFeed', 60);
    // In the middle of it all, what is on its way is lost.
    expect(await redis.killConnections('subscriber')).toBe(2);
    fed.push(...(await take(all, 'provisioningFeed', tenants * total - 60)));

    for (const { id, seen } of await Promise.all(watchers)) {
      expect(seen.map(({ tenantId }) => tenantId)).toEqual(Array(total).fill(id));
      expect(sequencesOf(seen)).toEqual(range(1, total));
    }
    for (const id of ids) {
      expect(sequencesOf(fed.filter((event) => Reflect.get(Object(event), 'tenantId') === id))).toEqual(
        range(1, total),
      );
    }
    // Nothing more comes of them, and the feed goes on.
    const [id = ''] = ids;
    await api.core.tenants.remove(editor, id);
    expect(await take(all, 'provisioningFeed', 1)).toMatchObject([
      { tenantId: id, sequence: total + 1, kind: 'DELETE' },
    ]);

    const some = await fewSeen;
    for (const id of chosen) {
      const sequences = sequencesOf(some.filter(({ tenantId }) => tenantId === id));
      // It began in the middle of things.
      expect(sequences).toEqual(range(total + 1 - sequences.length, total));
    }
    expect(some.every(({ tenantId }) => chosen.includes(tenantId))).toBe(true);
  });
});
