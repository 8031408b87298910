import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { redisMissing, startRedis } from '../support/redis.ts';
import { type CacheBed, type CacheProcess, type HeldRead, openCacheBed } from './cache-bed.ts';

// A read takes its row before a change is committed, and comes back with it whenever it may hurt most. Nobody may
// remember that row; both in the process that changes and in another one, which only hears of it.

describe.skipIf(redisMissing !== null)('a read that is overtaken by a change', () => {
  const stack = new AsyncDisposableStack();
  let bed: CacheBed;
  let writer: CacheProcess;
  let other: CacheProcess;

  beforeAll(async () => {
    bed = stack.use(await openCacheBed(stack.use(await startRedis())));
    writer = await bed.process();
    other = await bed.process();
  });
  afterAll(() => stack.disposeAsync());

  /** Until a process has heard what the writer told last. */
  async function heard(id: string, version: number | 'Infinity'): Promise<void> {
    await eventually(async () => (await bed.entry(id))?.split(' ')[0] === String(version), 5_000);
    // Messages come in order: once it has heard of this one, it has heard of all before.
    await bed.shared(other);
  }

  /** What both tiers have, without asking PostgreSQL; Redis may know no more than the version. */
  async function kept(process: CacheProcess, id: string): Promise<{ memory: unknown; redis: unknown }> {
    const before = process.answers.length;
    const found = await process.cache.find(id);
    const isHit = process.answers[before] === 'memory hit';
    const [version, json] = ((await bed.entry(id)) ?? '').split(/ (.*)/);
    return {
      memory: isHit ? found?.name : null,
      redis: json === undefined ? version : JSON.parse(json).name,
    };
  }

  const processes: [string, () => CacheProcess][] = [
    ['the process that changes', () => writer],
    ['another process', () => other],
  ];

  test.each(processes)('in %s, and comes back after it, is not kept', async (_, processOf) => {
    const process = processOf();
    const { id } = await bed.insert();
    const held = process.holdNext();
    const asked = process.cache.find(id);
    await held.read;
    writer.cache.outdate(id, null);
    const version = await bed.commit(id, 'Second');
    writer.cache.outdate(id, version);
    await heard(id, version);

    // Who asks now is not answered with what was read before.
    expect(await process.cache.find(id)).toMatchObject({ name: 'Second', version });
    held.release();
    expect(await asked).toMatchObject({ name: 'First' });
    await eventually(async () => (await bed.entry(id))?.includes('{'), 5_000);
    expect(await kept(process, id)).toEqual({ memory: 'Second', redis: 'Second' });
  });

  test.each(processes)('in %s, and comes back before it is told, is not kept', async (_, processOf) => {
    const process = processOf();
    const { id } = await bed.insert();
    writer.cache.outdate(id, null);
    await heard(id, 'Infinity');
    const held = process.holdNext();
    const asked = process.cache.find(id);
    await held.read;
    const version = await bed.commit(id, 'Second');
    held.release();
    expect(await asked).toMatchObject({ name: 'First' });
    expect(await kept(process, id)).toEqual({ memory: null, redis: 'Infinity' });

    writer.cache.outdate(id, version);
    await heard(id, version);
    expect(await process.cache.find(id)).toMatchObject({ name: 'Second' });
    await eventually(async () => (await bed.entry(id))?.includes('{'), 5_000);
    expect(await kept(process, id)).toEqual({ memory: 'Second', redis: 'Second' });
  });

  test.each(processes)('in %s, whose writer dies behind its commit, is not kept', async (_, processOf) => {
    const process = processOf();
    const { id } = await bed.insert();
    expect(await process.cache.find(id)).toMatchObject({ name: 'First' });
    writer.cache.outdate(id, null);
    await heard(id, 'Infinity');
    const held = process.holdNext();
    const asked = process.cache.find(id);
    await held.read;
    await bed.commit(id, 'Second');
    held.release();
    await asked;
    expect(await kept(process, id)).toEqual({ memory: null, redis: 'Infinity' });
    expect(await process.cache.find(id)).toMatchObject({ name: 'Second' });
  });

  test('by its subdomain is not kept either', async () => {
    const { id, subdomain } = await bed.insert();
    const held = other.holdNext();
    const asked = other.cache.findBySubdomain(subdomain);
    await held.read;
    writer.cache.outdate(id, null);
    const version = await bed.commit(id, 'Second');
    writer.cache.outdate(id, version);
    await heard(id, version);
    held.release();
    expect(await asked).toMatchObject({ name: 'First' });
    expect(await kept(other, id)).toEqual({ memory: null, redis: String(version) });
  });

  test('and by the word that anything may have changed, is not kept', async () => {
    const { id } = await bed.insert();
    const held = other.holdNext();
    const asked = other.cache.find(id);
    await held.read;
    await bed.commit(id, 'Second');
    await bed.publish('all');
    await bed.shared(other);
    held.release();
    expect(await asked).toMatchObject({ name: 'First' });
    await bed.shared(other);
    expect(await bed.entry(id)).toBeNull();
    expect(await other.cache.find(id)).toMatchObject({ name: 'Second' });
  });

  type Move = 'read' | 'return' | 'announce' | 'commit' | 'tell' | 'ask';
  const move = fc.tuple(
    fc.constantFrom<Move>('read', 'return', 'announce', 'commit', 'tell', 'ask'),
    fc.nat({ max: 1 }),
  );

  test('in whatever order, leaves both processes and Redis with nothing older', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(move, { minLength: 5, maxLength: 25 }), async (moves) => {
        const { id } = await bed.insert();
        const held: HeldRead[] = [];
        const asked: unknown[] = [];
        let [announced, committed, told] = [false, 1, 1];
        const commands: Record<Move, (process: CacheProcess) => unknown> = {
          read(process) {
            const read = process.holdNext();
            held.push(read);
            asked.push(process.cache.find(id));
          },
          return: () => held.shift()?.release(),
          announce() {
            if (announced) return;
            announced = true;
            writer.cache.outdate(id, null);
          },
          async commit() {
            if (announced && committed === told) committed = await bed.commit(id, `Number ${committed + 1}`);
          },
          tell() {
            if (committed === told) return;
            [told, announced] = [committed, false];
            writer.cache.outdate(id, told);
          },
          async ask(process) {
            // Only reads that are to be held may be.
            if (held.length > 0) return;
            const found = await process.cache.find(id);
            if (process === writer) expect(found?.version).toBeGreaterThanOrEqual(told);
          },
        };
        for (const [name, index] of moves) await commands[name](index === 0 ? writer : other);
        await commands.tell(writer);
        for (const read of held) read.release();
        await Promise.all(asked);
        if (announced) writer.cache.outdate(id, committed);

        for (const process of [writer, other]) {
          await eventually(async () => (await process.cache.find(id))?.version === committed, 5_000);
        }
        await eventually(async () => Number.parseInt((await bed.entry(id)) ?? '', 10) === committed, 5_000);
      }),
      { numRuns: 60 },
    );
  });
});
