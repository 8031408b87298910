import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts';
import { type CacheBed, type CacheProcess, openCacheBed } from './cache-bed.ts';

describe.skipIf(redisMissing !== null)('a tenant in Redis', () => {
  const stack = new AsyncDisposableStack();
  let redis: TestRedis;
  let bed: CacheBed;
  let one: CacheProcess;
  let two: CacheProcess;

  beforeAll(async () => {
    redis = stack.use(await startRedis());
    bed = stack.use(await openCacheBed(redis));
    one = await bed.process();
    two = await bed.process();
  });
  beforeEach(async () => {
    for (const process of [one, two]) await bed.shared(process);
  });
  afterAll(() => stack.disposeAsync());

  /** Until Redis keeps it. */
  const stored = (id: string) => eventually(async () => (await bed.entry(id))?.includes('{'), 5_000);

  /** Asks a process, and says what its tiers answered. */
  async function ask(process: CacheProcess, id: string): Promise<{ name: unknown; answers: string[] }> {
    const before = process.answers.length;
    const tenant = await process.cache.find(id);
    return { name: tenant?.name, answers: process.answers.slice(before) };
  }

  /** Whether the process has to look for it. */
  async function misses(process: CacheProcess, id: string): Promise<boolean> {
    const found = process.cache.find(id);
    await found;
    return found instanceof Promise;
  }

  test('that one process has read is not read by the next one', async () => {
    const tenant = await bed.insert();
    expect(await ask(one, tenant.id)).toEqual({ name: 'First', answers: ['memory miss', 'redis miss'] });
    await stored(tenant.id);
    const reads = two.reads();
    expect(await ask(two, tenant.id)).toEqual({ name: 'First', answers: ['memory miss', 'redis hit'] });
    expect(await ask(two, tenant.id)).toEqual({ name: 'First', answers: ['memory hit'] });
    expect(await two.cache.find(tenant.id)).toEqual(tenant);
    expect(two.reads()).toBe(reads);
  });

  test('is there for two minutes at most, and without its contact', async () => {
    const { id } = await bed.insert();
    await one.cache.find(id);
    await stored(id);
    const ttl = await redis.client().pttl(bed.keyOf(id));
    expect(ttl).toBeGreaterThan(90_000);
    expect(ttl).toBeLessThanOrEqual(120_000);
    const [version, json = ''] = ((await bed.entry(id)) ?? '').split(/ (.*)/);
    expect(version).toBe('1');
    expect(Object.keys(JSON.parse(json)).filter((field) => /contact|mail/i.test(field))).toEqual([]);
    expect(json).not.toContain('v1:none');
  });

  test('that has changed is outlived by the word of it, which outlives every read', async () => {
    const { id } = await bed.insert();
    one.cache.outdate(id, 7);
    await eventually(async () => (await bed.entry(id)) === '7', 5_000);
    const ttl = await redis.client().pttl(bed.keyOf(id));
    expect(ttl).toBeGreaterThan(20_000);
    expect(ttl).toBeLessThanOrEqual(30_000);
  });

  test.each(['nonsense', '5 {}', '5 {"id":', '5 null'])('that reads %s counts as missing', async (entry) => {
    const { id } = await bed.insert();
    await redis.client().set(bed.keyOf(id), entry);
    expect(await ask(one, id)).toEqual({ name: 'First', answers: ['memory miss', 'redis miss'] });
  });

  test('while Redis is gone is read from PostgreSQL at once, and a change of it is told when Redis is back', async () => {
    const { id } = await bed.insert();
    for (const process of [one, two]) await process.cache.find(id);
    await stored(id);
    await redis.goDown();
    await eventually(async () => (await ask(one, randomUUID())).answers.includes('redis bypass'), 5_000);
    one.cache.outdate(id, null);
    one.cache.outdate(id, await bed.commit(id, 'Second'));
    expect(await ask(one, id)).toEqual({ name: 'Second', answers: ['memory miss', 'redis bypass'] });
    // Redis has kept the old entry.
    expect(await bed.entry(id)).toContain('First');

    await redis.comeBack();
    await bed.shared(one);
    expect(await bed.entry(id)).not.toContain('First');
    await bed.shared(two);
    expect(await ask(two, id)).toMatchObject({ name: 'Second' });
  });

  test('of which a change was lost among too many is not believed when Redis is back, like all others', async () => {
    const [lost, untouched] = [await bed.insert(), await bed.insert()];
    for (const { id } of [lost, untouched]) {
      for (const process of [one, two]) await process.cache.find(id);
      await stored(id);
    }
    await redis.goDown();
    await eventually(async () => (await ask(one, randomUUID())).answers.includes('redis bypass'), 5_000);
    one.cache.outdate(lost.id, await bed.commit(lost.id, 'Second'));
    for (let n = 0; n < 10_001; n++) one.cache.outdate(randomUUID(), 2);
    await redis.comeBack();
    await bed.shared(one);
    expect(await bed.entry(lost.id)).toBe('Infinity');
    expect(await bed.entry(untouched.id)).toBe('Infinity');
    await bed.shared(two);
    expect(await ask(two, lost.id)).toMatchObject({ name: 'Second' });
  });

  test('while Redis hangs is waited for once and for a moment, then read from PostgreSQL', async () => {
    const ids = [(await bed.insert()).id, (await bed.insert()).id];
    await redis.client().call('CLIENT', 'PAUSE', '2000', 'ALL');
    const began = performance.now();
    for (const id of ids) {
      expect(await ask(one, id)).toEqual({ name: 'First', answers: ['memory miss', 'redis bypass'] });
      // What changes meanwhile waits for nothing.
      one.cache.outdate(id, 2);
    }
    expect(performance.now() - began).toBeLessThan(1_500);
    await bed.shared(one);
    expect(await ask(one, ids[0] ?? '')).toMatchObject({ answers: ['memory miss', 'redis miss'] });
  });

  test.each(['cache', 'cache-subscriber'] as const)(
    'is forgotten by processes whose connection %s breaks: they may have missed what was told',
    async (connection) => {
      const { id } = await bed.insert();
      const before = await one.cache.find(id);
      await stored(id);
      expect(await ask(one, id)).toMatchObject({ answers: ['memory hit'] });
      expect(await redis.killConnections(connection)).toBeGreaterThanOrEqual(2);
      await eventually(() => misses(one, id), 5_000);
      await bed.shared(one);
      const after = await one.cache.find(id);
      expect(after).toEqual(before);
      expect(after).not.toBe(before);
    },
  );

  test('is forgotten by who hears a message that says so, and by nobody for a message that is none', async () => {
    const { id } = await bed.insert();
    await two.cache.find(id);
    await stored(id);
    for (const noise of ['', 'all of them', `${id}`, `${id} -1`, `${id} 2 3`, 'x 2']) {
      await bed.publish(noise);
    }
    await bed.shared(one);
    expect(await ask(two, id)).toMatchObject({ answers: ['memory hit'] });
    await bed.publish('all');
    await eventually(() => misses(two, id), 5_000);
  });
});
