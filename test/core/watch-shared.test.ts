import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { currentSignal, withCancellation } from '../../src/core/cancellation.ts';
import { UnavailableError } from '../../src/core/errors.ts';
import type { EventStream } from '../../src/core/inbox-stream.ts';
import type { ProvisioningEvent } from '../../src/core/model.ts';
import { createWatch } from '../../src/core/watch.ts';
import { readMs } from '../../src/core/within-time.ts';
import { createMemoryEvents, eventOf } from './memory-events.ts';

afterEach(() => vi.useRealTimers());

const minute = 60_000;
const tenants = ['1', '2'].map((n) => `${n.repeat(8)}-0000-4000-8000-000000000000`);
const [tenantId = '', otherId = ''] = tenants;

/** @param pace of the history; see `createMemoryEvents` */
function started(pace: () => Promise<unknown> = turn) {
  const events = createMemoryEvents(pace, () => new Date(Date.UTC(2030, 0)));
  const last = (id: string) => events.committed.filter((event) => event.tenantId === id).length;
  return {
    ...events,
    last,
    write(id = tenantId): ProvisioningEvent {
      const event = eventOf({ tenantId: id, sequence: last(id) + 1, createdAt: new Date(Date.UTC(2030, 0)) });
      events.commit([event], true);
      return event;
    },
    watch: createWatch({ ...events, rereadIntervalMs: minute }),
  };
}

/** The sequences that come of a stream. */
function listen(stream: EventStream, id = tenantId): { seen: number[]; end: Promise<void> } {
  const seen: number[] = [];
  const end = (async () => {
    for await (const event of stream) if (event.tenantId === id) seen.push(event.sequence);
  })();
  return { seen, end };
}

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index);

describe('watchers of the same tenants', () => {
  test('are one who listens and reads, and those of others are another', async () => {
    const { watch, write, tell, resync, listeners, reads } = started();
    const streams = await Promise.all(range(1, 50).map(() => watch.many(null)));
    const some = await watch.many([otherId, tenantId]);
    const same = await watch.many([tenantId, otherId]);
    expect(listeners()).toBe(2);
    const heard = streams.map((stream) => listen(stream).seen);
    tell(write());
    write(); // its message is lost
    const before = reads();
    resync();
    await vi.waitFor(() => expect(heard).toEqual(Array(50).fill([1, 2])));
    expect(reads() - before).toBeLessThanOrEqual(2);
    await Promise.all([...streams, some].map((stream) => stream.return?.()));
    expect(listeners()).toBe(1);
    await same.return?.();
    expect(listeners()).toBe(0);
  });

  test('have, each, whatever is committed from its beginning on, and nothing from before it', async () => {
    const steps = fc.array(
      fc.record({ tenant: fc.constantFrom(...tenants), told: fc.constantFrom(0, 1, 1, 2) }),
      { minLength: 1, maxLength: 12 },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        steps,
        fc.integer({ min: 1, max: 4 }),
        async (scheduler, steps, count) => {
          const world = started(() => scheduler.schedule(Promise.resolve(), 'read'));
          const writing = scheduler.scheduleSequence(
            steps.map(({ tenant, told }) => async () => {
              const event = world.write(tenant);
              for (let times = 0; times < told; times++) world.tell(event);
            }),
          );
          const watchers = range(1, count).map(async () => {
            await scheduler.schedule(Promise.resolve(), 'join');
            const atCall = tenants.map(world.last);
            const stream = await world.watch.many(null);
            const atStart = tenants.map(world.last);
            const events: ProvisioningEvent[] = [];
            const end = (async () => {
              for await (const event of stream) events.push(event);
            })();
            return { atCall, atStart, stream, events, end };
          });
          const joined = await scheduler.waitFor(Promise.all(watchers));
          await scheduler.waitFor(writing.task);
          // Whatever was lost is noticed of now.
          world.resync();
          do {
            await scheduler.waitIdle();
            await turn();
          } while (scheduler.count() > 0);

          for (const { atCall, atStart, stream, events, end } of joined) {
            tenants.forEach((id, index) => {
              const found = events.filter((event) => event.tenantId === id).map(({ sequence }) => sequence);
              const from = found[0] ?? world.last(id) + 1;
              expect(found).toEqual(range(from, world.last(id)));
              expect(from).toBeGreaterThan(atCall[index] ?? 0);
              expect(from).toBeLessThanOrEqual((atStart[index] ?? 0) + 1);
            });
            await stream.return?.();
            await end;
          }
          expect(world.listeners()).toBe(0);
        },
      ),
      { numRuns: 300, timeout: 20_000 },
    );
  });
});

describe('a watcher', () => {
  test('that is slow holds up nobody, and has everything, once and in order', async () => {
    const { watch, write, tell, listeners } = started();
    const [slow, fast] = await Promise.all([watch.many(null), watch.many(null)]);
    const { seen } = listen(fast);
    tell(write());
    expect((await slow.next()).value).toMatchObject({ sequence: 1 });
    for (let told = 1; told < 2_500; ) {
      for (const _ of range(1, 100)) {
        tell(write());
        told += 1;
        if (told === 2_500) break;
      }
      await vi.waitFor(() => expect(seen).toHaveLength(told));
    }
    expect(seen).toEqual(range(1, 2_500));
    // It has left the others with a queue that is full, and listens for itself when it has emptied that.
    expect(listeners()).toBe(1);
    const late: unknown[] = [];
    while (late.length < 2_499) late.push((await slow.next()).value.sequence);
    expect(late).toEqual(range(2, 2_500));
    expect(listeners()).toBe(2);
    tell(write());
    expect((await slow.next()).value).toMatchObject({ sequence: 2_501 });
    await Promise.all([slow.return?.(), fast.return?.()]);
    expect(listeners()).toBe(0);
  });

  test('that leaves takes nobody along, also the first one, whose request is aborted', async () => {
    const { history, feed, write, tell, resync, listeners } = started();
    const signals: (AbortSignal | undefined)[] = [];
    const noting = {
      ...history,
      clock() {
        signals.push(currentSignal());
        return history.clock();
      },
    };
    const watch = createWatch({ history: noting, feed, rereadIntervalMs: minute });
    const request = new AbortController();
    const first = await withCancellation(request.signal, () => watch.many(null));
    const second = await watch.many(null);
    const { seen, end } = listen(second);
    request.abort();
    await first.return?.();
    write();
    resync();
    await vi.waitFor(() => expect(seen).toEqual([1]));
    tell(write());
    await vi.waitFor(() => expect(seen).toEqual([1, 2]));
    expect(signals.map((signal) => signal?.aborted)).toEqual([false, false, false]);
    await second.return?.();
    await end;
    expect(listeners()).toBe(0);
  });

  test('that comes while the others are all slow is not kept waiting', async () => {
    const { watch, write, tell } = started();
    const slow = await watch.many(null);
    for (const _ of range(1, 20)) tell(write());
    await turn();
    const late = await watch.many(null);
    tell(write());
    expect((await late.next()).value).toMatchObject({ sequence: 21 });
    expect((await slow.next()).value).toMatchObject({ sequence: 1 });
    await Promise.all([slow.return?.(), late.return?.()]);
  });

  test('hears of it once when the history fails; the next one begins anew', async () => {
    const { history, feed, resync, write, tell, listeners } = started();
    let out = false;
    const failing = {
      ...history,
      clock: () => (out ? Promise.reject(new Error('out')) : history.clock()),
    };
    const watch = createWatch({ history: failing, feed, rereadIntervalMs: minute });
    const streams = await Promise.all([watch.many(null), watch.many(null)]);
    const [waiting, later] = streams;
    const next = waiting?.next();
    out = true;
    const joining = watch.many(null);
    await expect(joining).rejects.toThrow('out');
    await expect(next).rejects.toThrow('out');
    await expect(later?.next()).rejects.toThrow('out');
    for (const stream of streams) expect(await stream.next()).toMatchObject({ done: true });
    expect(listeners()).toBe(0);

    out = false;
    const anew = await watch.many(null);
    for (const stream of streams) await stream.return?.();
    expect(listeners()).toBe(1);
    resync();
    tell(write());
    expect((await anew.next()).value).toMatchObject({ sequence: 1 });
    await anew.return?.();
    expect(listeners()).toBe(0);
  });

  test('hears of it when the history does not answer; the next one begins anew', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const { history, feed, listeners } = started();
    let stuck = false;
    const signals: (AbortSignal | undefined)[] = [];
    const silent = {
      ...history,
      clock() {
        signals.push(currentSignal());
        return stuck ? new Promise<never>(() => {}) : history.clock();
      },
    };
    const watch = createWatch({ history: silent, feed, rereadIntervalMs: minute });
    const stream = await watch.many(null);
    stuck = true;
    const waiting = Promise.allSettled([watch.many(null), stream.next()]);
    await vi.waitFor(() => expect(signals).toHaveLength(2));
    await vi.advanceTimersByTimeAsync(readMs);
    const failure = { status: 'rejected', reason: new UnavailableError() };
    expect(await waiting).toEqual([failure, failure]);
    expect(signals.map((signal) => signal?.aborted)).toEqual([false, true]);
    expect([listeners(), vi.getTimerCount()]).toEqual([0, 0]);

    stuck = false;
    const anew = await watch.many(null);
    await anew.return?.();
    expect(listeners()).toBe(0);
  });

  test('leaves a read that fails when the next ones have begun anew; those stay one', async () => {
    const { history, feed, resync, listeners } = started();
    const held = Promise.withResolvers<never>();
    let holds = false;
    let reads = 0;
    const holding = {
      ...history,
      clock() {
        reads += 1;
        return holds ? held.promise : history.clock();
      },
    };
    const watch = createWatch({ history: holding, feed, rereadIntervalMs: minute });
    const first = await watch.many(null);
    holds = true;
    const next = first.next();
    resync();
    await vi.waitFor(() => expect(reads).toBe(2));
    await first.return?.();
    holds = false;
    const second = await watch.many(null);
    held.reject(new Error('out'));
    await turn();
    const third = await watch.many(null);
    expect(listeners()).toBe(1);
    expect(await next).toMatchObject({ done: true });
    await Promise.all([second.return?.(), third.return?.()]);
    expect(listeners()).toBe(0);
  });
});
