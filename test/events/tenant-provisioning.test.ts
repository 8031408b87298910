import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { take } from '../http/graphql-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { redisMissing, startRedis } from '../support/redis.ts';
import {
  create,
  eventsOf,
  minute,
  openStream,
  range,
  sequencesOf,
  eventsOfProvisioning as total,
  watched,
} from './provisioning.ts';

describe.for([
  { how: 'api and worker apart without Redis, by the timer', redis: false, rereadIntervalMs: 100 },
  { how: 'api and worker apart with Redis, without the timer', redis: true, rereadIntervalMs: minute },
])('tenantProvisioning over server-sent events, $how', ({ redis, rereadIntervalMs }) => {
  describe.skipIf(redis && redisMissing !== null)('streams every event once and in order', () => {
    const stack = new AsyncDisposableStack();
    let api: TestApp;
    let startWorker: () => Promise<TestApp>;

    beforeAll(async () => {
      const database = stack.use(await createTestDatabase());
      const options = {
        database,
        timings: { rereadIntervalMs },
        ...(redis && { redisUrl: stack.use(await startRedis()).url }),
      };
      api = stack.use(await startTestApp({ ...options, worker: false }));
      startWorker = () => startTestApp(options);
    });
    afterAll(() => stack.disposeAsync());

    test('to who began before the run, during it and after it, from any sequence on', async () => {
      const id = await create(api, 'watched');
      const before = await Promise.all([openStream(api, id), openStream(api, id)]);
      const begun = await Promise.all(before.map((stream) => take(stream, 'tenantProvisioning', 1)));
      const resumed = await Promise.all(range(1, total - 1).map((after) => openStream(api, id, after)));

      await using _worker = await startWorker();
      using joining = await openStream(api, id);
      begun.push(await take(joining, 'tenantProvisioning', 3));
      const during = watched(api, id);
      const rests = await Promise.all(before.map(eventsOf));
      const after = await watched(api, id);

      expect(sequencesOf(after)).toEqual(range(1, total));
      expect([...(begun[0] ?? []), ...(rests[0] ?? [])]).toEqual(after);
      expect([...(begun[1] ?? []), ...(rests[1] ?? [])]).toEqual(after);
      expect(begun[2]).toEqual(after.slice(0, 3));
      expect(await during).toEqual(after);
      for (const [index, stream] of resumed.entries()) {
        expect(await eventsOf(stream)).toEqual(after.slice(index + 1));
      }
      for (const from of [...range(0, total + 1), 2_000_000_000]) {
        expect(await watched(api, id, from)).toEqual(after.slice(from));
      }
    });

    test('and refuses an unknown tenant', async () => {
      expect(await watched(api, randomUUID())).toEqual([
        { errors: [expect.objectContaining({ extensions: { code: 'NOT_FOUND' } })] },
      ]);
    });
  });
});
