import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { take } from '../http/graphql-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createDirectory, databaseArguments, type RunningService, startService } from '../support/process.ts';
import { redisMissing, startRedis } from '../support/redis.ts';
import {
  channelOf,
  contactEmail,
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

const sequenceOf = (event: unknown) => Number(Reflect.get(Object(event), 'sequence'));

describe.skipIf(redisMissing !== null)('an api and a worker in two processes', () => {
  const stack = new AsyncDisposableStack();
  let api: TestApp;
  let worker: RunningService;
  /** What an independent client of Redis hears on the channel. */
  const heard: string[] = [];

  beforeAll(async () => {
    const database = stack.use(await createTestDatabase());
    const redis = stack.use(await startRedis());
    const directory = stack.use(await createDirectory());
    const key = randomBytes(32);
    api = stack.use(
      await startTestApp({
        database,
        worker: false,
        redisUrl: redis.url,
        timings: { rereadIntervalMs: minute },
        config: { encryptionKeys: [{ id: 'shared', key }] },
      }),
    );
    worker = stack.use(
      await startService({
        dataDir: directory.path,
        args: ['--role=worker', `--redis-url=${redis.url}`, ...databaseArguments(database.settings)],
        env: { TMS_ENCRYPTION_KEYS: `shared:${key.toString('base64')}` },
      }),
    );
    const bystander = redis.client();
    bystander.on('message', (_channel, message) => heard.push(message));
    await bystander.subscribe(await channelOf(api));
  });
  afterAll(() => stack.disposeAsync());

  test('stream what the worker does long before the timer, and every event passes through Redis', async () => {
    const began = performance.now();
    using feed = await openFeed(api);
    const ids = await Promise.all(['one', 'two', 'three'].map((name) => create(api, name)));
    const streams = await Promise.all(ids.map((id) => openStream(api, id)));
    const events = await Promise.all(streams.map(eventsOf));
    const fed = await take(feed, 'provisioningFeed', ids.length * total);
    expect(performance.now() - began).toBeLessThan(minute / 2);

    expect(events.map(sequencesOf)).toEqual(ids.map(() => range(1, total)));
    const passed = await eventually(() => {
      const messages: unknown[] = heard.map((message) => JSON.parse(message));
      return messages.length >= ids.length * total ? messages : null;
    }, 10_000);
    for (const [index, id] of ids.entries()) {
      const ofTenant = (all: unknown[]) =>
        all.filter((event) => Reflect.get(Object(event), 'tenantId') === id);
      expect(ofTenant(fed)).toEqual(events[index]);
      // The same, but for the API's prefix of an operation's id. Two processes tell them, so that the worker's first may
      // overtake the acceptance.
      expect(ofTenant(passed).toSorted((a, b) => sequenceOf(a) - sequenceOf(b))).toEqual(
        events[index]?.map((event) => ({ ...Object(event), operationId: expect.any(String) })),
      );
    }
    expect(passed).toHaveLength(ids.length * total);
  });

  test('carry no address in their messages', () => {
    expect(heard.length).toBeGreaterThan(0);
    expect(heard.join('\n')).not.toContain('@');
    expect(heard.join('\n')).not.toContain(contactEmail.split('@')[0]);
    expect(worker.stdout()).not.toContain(contactEmail);
  });

  test('both say that Redis is up', async () => {
    for (const { httpUrl, workerState } of [
      { httpUrl: api.httpUrl, workerState: 'off' },
      { httpUrl: worker.httpUrl, workerState: 'up' },
    ]) {
      expect(await (await fetch(`${httpUrl}/health`)).json()).toEqual({
        status: 'ok',
        checks: { database: 'up', redis: 'up', worker: workerState },
      });
    }
  });

  test('the worker that drains has told everything that it did', async () => {
    const id = await create(api, 'drained');
    using stream = await openStream(api, id);
    await take(stream, 'tenantProvisioning', 2);
    worker.signal('SIGTERM');
    expect(await worker.end).toMatchObject({ code: 0, stderr: '' });
    await eventually(async () => {
      const told = heard.map((message) => JSON.parse(message)).filter(({ tenantId }) => tenantId === id);
      return told.some(
        ({ sequence, operationState }) => sequence === total && operationState === 'SUCCEEDED',
      );
    }, 10_000);
    expect(sequencesOf(await eventsOf(stream))).toEqual(range(3, total));
    expect(sequencesOf(await watched(api, id))).toEqual(range(1, total));
  });
});
