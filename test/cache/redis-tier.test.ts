import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRedisTier, type RedisTier } from '../../src/cache/redis-tier.ts';
import { unknownVersion } from '../../src/cache/version.ts';
import type { Tenant } from '../../src/core/model.ts';
import { createLog } from '../../src/log.ts';
import { connectRedis } from '../../src/redis/redis-connection.ts';
import { eventually } from '../support/eventually.ts';
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts';

describe.skipIf(redisMissing !== null)('of what is stored and what is outdated, Redis keeps', () => {
  const stack = new AsyncDisposableStack();
  let redis: TestRedis;
  let tier: RedisTier;

  beforeAll(async () => {
    redis = stack.use(await startRedis());
    tier = await connected();
  });
  afterAll(() => stack.disposeAsync());

  /** One that uses Redis already. */
  async function connected(commandTimeoutMs?: number): Promise<RedisTier> {
    const log = createLog('silent', { write: () => {} });
    const tier = stack.use(
      createRedisTier({
        redis: connectRedis({ url: redis.url, tls: null }, 'cache', log, commandTimeoutMs),
        prefix: 'tenant:',
        channel: 'changes',
        onTurn: () => {},
        log,
      }),
    );
    await eventually(() => tier.isUp(), 5_000);
    return tier;
  }

  function tenant(id: string, version: number): Tenant {
    return {
      id,
      name: `Number ${version}`,
      subdomain: 'somebody',
      tier: 'standard',
      status: 'ACTIVE',
      version,
      schemaVersion: 1,
      createdAt: new Date(1),
      updatedAt: new Date(2),
      deletedAt: null,
      operationId: null,
    };
  }

  type Step = ['store' | 'outdate', number];
  test.each<[string, Step[], string]>([
    ['what is stored', [['store', 1]], 'Number 1'],
    [
      'the newer tenant',
      [
        ['store', 2],
        ['store', 1],
      ],
      'Number 2',
    ],
    [
      'the newer tenant, whatever came first',
      [
        ['store', 1],
        ['store', 2],
      ],
      'Number 2',
    ],
    [
      'the word of a change',
      [
        ['store', 1],
        ['outdate', 2],
      ],
      '2',
    ],
    [
      'the word of a change before an older tenant',
      [
        ['outdate', 2],
        ['store', 1],
      ],
      '2',
    ],
    [
      'the tenant as of the change',
      [
        ['outdate', 2],
        ['store', 2],
      ],
      'Number 2',
    ],
    [
      'a tenant that is as new as the change',
      [
        ['store', 2],
        ['outdate', 2],
      ],
      'Number 2',
    ],
    [
      'a tenant that is newer than the change',
      [
        ['store', 3],
        ['outdate', 2],
      ],
      'Number 3',
    ],
    [
      'the word of the newest change',
      [
        ['outdate', 10],
        ['outdate', 9],
      ],
      '10',
    ],
    [
      'nothing while a change is being committed',
      [
        ['store', 5],
        ['outdate', unknownVersion],
        ['store', 6],
      ],
      'Infinity',
    ],
    [
      'nothing while one more is being committed',
      [
        ['outdate', 2],
        ['outdate', unknownVersion],
      ],
      'Infinity',
    ],
    [
      'the version that was committed',
      [
        ['outdate', unknownVersion],
        ['outdate', 6],
      ],
      '6',
    ],
    [
      'no older tenant than was committed',
      [
        ['outdate', unknownVersion],
        ['outdate', 6],
        ['store', 5],
      ],
      '6',
    ],
    [
      'the tenant that was committed',
      [
        ['outdate', unknownVersion],
        ['outdate', 6],
        ['store', 6],
      ],
      'Number 6',
    ],
  ])('%s', async (_, steps, kept) => {
    const id = randomUUID();
    for (const [step, version] of steps) {
      if (step === 'store') tier.store(tenant(id, version));
      else tier.outdate(id, version);
    }
    // Answered behind all of them: they are on the same connection.
    const found = await tier.find(id);
    const entry = await redis.client().get(`tenant:${id}`);
    expect(typeof found === 'object' ? found.name : entry).toBe(kept);
    if (typeof found === 'object') expect(found).toEqual(tenant(id, found.version));
  });

  test('no tenant whose storing was given up before Redis got to it', async () => {
    const impatient = await connected(200);
    const id = randomUUID();
    await redis.client().call('CLIENT', 'PAUSE', '700', 'ALL');
    impatient.store(tenant(id, 1));
    await eventually(() => !impatient.isUp(), 5_000);
    await eventually(() => impatient.isUp(), 5_000);
    expect(await redis.client().get(`tenant:${id}`)).toBe('Infinity');
  });

  test('no field that a tenant may carry beside its own', async () => {
    const id = randomUUID();
    tier.store(Object.assign(tenant(id, 1), { contactEmail: 'jo@secret.example', contactEmailIndex: 'x' }));
    expect(await tier.find(id)).toEqual(tenant(id, 1));
    expect(await redis.client().get(`tenant:${id}`)).not.toMatch(/secret|contact/);
  });

  test('and tells everybody what is outdated', async () => {
    const id = randomUUID();
    const bystander = redis.client();
    const heard: string[] = [];
    bystander.on('message', (_channel, message) => heard.push(message));
    await bystander.subscribe('changes');
    tier.outdate(id, unknownVersion);
    tier.outdate(id, 2);
    await eventually(() => heard.length >= 2, 5_000);
    expect(heard).toEqual([`${id} Infinity`, `${id} 2`]);
  });
});
