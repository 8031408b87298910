import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ProvisioningEvent } from '../../src/core/model.ts';
import { createWatch } from '../../src/core/watch.ts';
import { createMemoryEvents, eventOf } from './memory-events.ts';

const tenants = [1, 2, 3].map((n) => `${n}`.repeat(8).concat('-0000-4000-8000-000000000000'));
const [tenantId = ''] = tenants;
const minute = 60_000;
const runs = { numRuns: 300, timeout: 20_000 };

/** One commit of a tenant: its events, how often each is told, and what it leaves. */
interface Commit {
  readonly states: readonly ProvisioningEvent['operationState'][];
  readonly unfinished: boolean;
  /** 0 is a loss, 2 a repeat. */
  readonly tellings: number;
  /** How much older than its commit the event looks, milliseconds: the transaction was open in between. */
  readonly lagMs: number;
  /** Passes before the commit. */
  readonly waitMs: number;
}

const delivery = fc.record({
  tellings: fc.constantFrom(1, 1, 1, 0, 2),
  lagMs: fc.constantFrom(0, 0, 1, 5_000, 14_999),
  waitMs: fc.constantFrom(0, 0, 1, 100, 20_000),
});

/** What happens to a tenant: operations, one after the other; one may take the other's place in the same commit. */
const life = fc
  .array(fc.record({ steps: fc.nat(3), replaced: fc.boolean() }), { minLength: 1, maxLength: 3 })
  .map((operations) =>
    operations.flatMap(({ steps, replaced }, index) => {
      const follows = operations[index + 1] !== undefined;
      const takesPlace = operations[index - 1]?.replaced === true;
      const begin = takesPlace ? [] : [{ states: ['PENDING' as const], unfinished: true }];
      const work = Array.from({ length: steps }, () => ({ states: ['RUNNING' as const], unfinished: true }));
      const end =
        replaced && follows
          ? { states: ['CANCELLED' as const, 'PENDING' as const], unfinished: true }
          : { states: ['SUCCEEDED' as const], unfinished: false };
      return [...begin, ...work, end];
    }),
  )
  .chain((commits) =>
    fc.tuple(...commits.map((commit) => delivery.map((how): Commit => ({ ...commit, ...how })))),
  );

/** Lets fast-check decide the order of everything: commits, messages, reads. */
function play(scheduler: fc.Scheduler) {
  let now = Date.UTC(2030, 0);
  const events = createMemoryEvents(
    () => scheduler.schedule(Promise.resolve(), 'read'),
    () => new Date(now),
  );
  const quietAt = new Map(tenants.map((id) => [id, new Set([0])]));
  const last = (id: string) => events.committed.filter((event) => event.tenantId === id).length;
  const latest = new Map<string, number>();

  function commit(id: string, { states, unfinished, lagMs, waitMs }: Commit): ProvisioningEvent[] {
    now += waitMs;
    // A tenant's events are written one after the other, under its lock.
    const time = Math.max(now - lagMs, latest.get(id) ?? 0);
    latest.set(id, time);
    const written = states.map((operationState, index) =>
      eventOf({ tenantId: id, sequence: last(id) + 1 + index, operationState, createdAt: new Date(time) }),
    );
    events.commit(written, unfinished);
    if (!unfinished) quietAt.get(id)?.add(last(id));
    return written;
  }

  /** @param announced whether a loss is noticed, as that of a connection is */
  function live(id: string, commits: readonly Commit[], announced: boolean): void {
    const tell = (event: ProvisioningEvent) =>
      void scheduler.schedule(Promise.resolve(), 'message').then(() => events.tell(event));
    scheduler.scheduleSequence(
      commits.map((step) => ({
        label: 'commit',
        builder: async () => {
          for (const event of commit(id, step)) for (let n = 0; n < step.tellings; n++) tell(event);
          if (announced && step.tellings === 0)
            void scheduler.schedule(Promise.resolve(), 'resync').then(events.resync);
        },
      })),
    );
  }
  return { ...events, commit, live, last, quietAt: (id: string) => quietAt.get(id) ?? new Set() };
}

async function collect(stream: AsyncIterable<ProvisioningEvent>, into: ProvisioningEvent[] = []) {
  for await (const event of stream) into.push(event);
  return into;
}

const sequences = (events: readonly ProvisioningEvent[], id = tenantId) =>
  events.filter((event) => event.tenantId === id).map(({ sequence }) => sequence);
const range = (from: number, to: number) =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, n) => from + n);

describe('the stream of one tenant', () => {
  test.each([
    ['that every loss is noticed of, without its timer', true, minute],
    ['that loses messages unnoticed, by its timer', false, 3],
  ])(
    '%s, has every event once and in order, and ends when nothing is unfinished',
    async (_, announced, interval) => {
      await fc.assert(
        fc.asyncProperty(fc.scheduler(), life, fc.nat(12), async (scheduler, [first, ...rest], after) => {
          const world = play(scheduler);
          if (first) world.commit(tenantId, first);
          world.live(tenantId, rest, announced);
          const watch = createWatch({ ...world, rereadIntervalMs: interval });
          const events = await scheduler.waitFor(collect(watch.one(tenantId, after)));
          const end = events.at(-1)?.sequence ?? after;
          expect(sequences(events)).toEqual(range(after + 1, end));
          expect(events).toEqual(world.committed.slice(after, end));
          // It ended at a moment of rest, of which it had seen everything.
          const rests = [...world.quietAt(tenantId)];
          expect(
            rests.filter((rest) => rest > 0 && (rest === end || (rest < end && end === after))),
          ).not.toEqual([]);
          expect(world.listeners()).toBe(0);
        }),
        runs,
      );
    },
  );

  test('reads nothing of the history but its beginning and its end when no message is lost', async () => {
    const world = createMemoryEvents(turn, () => new Date(0));
    const watch = createWatch({ ...world, rereadIntervalMs: minute });
    world.commit([eventOf({ tenantId, sequence: 1 })], true);
    const stream = watch.one(tenantId, 0);
    expect((await stream.next()).value.sequence).toBe(1);
    for (const sequence of range(2, 700)) {
      const event = eventOf({ tenantId, sequence, operationState: sequence < 700 ? 'RUNNING' : 'FAILED' });
      world.commit([event], sequence < 700);
      world.tell(event);
    }
    expect(sequences(await collect(stream))).toEqual(range(2, 700));
    expect(world.reads()).toBe(2);
  });

  test('that is not taken from for thousands of events reads them from the history, page by page', async () => {
    const world = createMemoryEvents(turn, () => new Date(0));
    const watch = createWatch({ ...world, rereadIntervalMs: minute });
    world.commit([eventOf({ tenantId, sequence: 1 })], true);
    const stream = watch.one(tenantId, 0);
    expect((await stream.next()).value.sequence).toBe(1);
    for (const sequence of range(2, 3_000)) {
      const event = eventOf({ tenantId, sequence });
      world.commit([event], true);
      world.tell(event);
    }
    world.commit([eventOf({ tenantId, sequence: 3_001, operationState: 'SUCCEEDED' })], false);
    expect(sequences(await collect(stream))).toEqual(range(2, 3_001));
  });

  test('asks the history as soon as an event shows that one before it was lost', async () => {
    const world = createMemoryEvents(turn, () => new Date(0));
    const watch = createWatch({ ...world, rereadIntervalMs: minute });
    const events = [1, 2, 3].map((sequence) => eventOf({ tenantId, sequence }));
    world.commit(events.slice(0, 1), true);
    const stream = watch.one(tenantId, 0);
    const seen = [await stream.next()];
    world.commit(events.slice(1), true);
    const waiting = stream.next();
    events.slice(2).forEach(world.tell);
    seen.push(await waiting, await stream.next());
    expect(seen.map(({ value }) => value)).toEqual(events);
    await stream.return?.();
  });

  test('never passes on an event that is out of turn: it asks the history', async () => {
    const world = createMemoryEvents(turn, () => new Date(0));
    const watch = createWatch({ ...world, rereadIntervalMs: minute });
    world.commit([eventOf({ tenantId, sequence: 1 })], true);
    const stream = watch.one(tenantId, 0);
    expect((await stream.next()).value.sequence).toBe(1);
    const waiting = stream.next();
    world.tell(eventOf({ tenantId, sequence: 1_000_000, message: 'forged' }));
    world.tell(eventOf({ tenantId, sequence: 1, message: 'forged' }));
    const end = eventOf({ tenantId, sequence: 2, operationState: 'SUCCEEDED' });
    world.commit([end], false);
    world.tell(end);
    expect([await waiting, await stream.next()]).toEqual([
      { value: end, done: false },
      { value: undefined, done: true },
    ]);
  });
});

describe('the stream of many tenants', () => {
  const lives = fc.tuple(life, life, life);
  const choice = fc.constantFrom(null, [tenantId], tenants.slice(1), []);

  /** Runs everything that can run, also what timers set off, until `done`. */
  async function settle(scheduler: fc.Scheduler, done: () => boolean): Promise<void> {
    do {
      await scheduler.waitIdle();
      await turn();
    } while (scheduler.count() > 0 || !done());
  }

  test.each([
    ['that every loss is noticed of, without its timer', true, minute],
    ['that loses messages unnoticed, by its timer', false, 3],
  ])('%s, has every new event once and in the order of its tenant', async (_, announced, interval) => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), lives, lives, choice, async (scheduler, before, lives, chosen) => {
        const world = play(scheduler);
        const parts = tenants.map((id, n) => ({
          id,
          before: before[n] ?? [],
          live: lives[n] ?? [],
          wanted: chosen === null || chosen.includes(id),
        }));
        for (const { id, before } of parts) for (const step of before) world.commit(id, step);
        const atCall = new Map(parts.map(({ id }) => [id, world.last(id)]));
        for (const { id, live } of parts) world.live(id, live, announced);
        const watch = createWatch({ ...world, rereadIntervalMs: interval });
        const stream = await scheduler.waitFor(watch.many(chosen));
        const atStart = new Map(parts.map(({ id }) => [id, world.last(id)]));

        const events: ProvisioningEvent[] = [];
        const end = collect(stream, events);
        const total = ({ before, live }: { before: readonly Commit[]; live: readonly Commit[] }) =>
          [...before, ...live].reduce((sum, { states }) => sum + states.length, 0);
        const complete = () =>
          parts.every(
            (part) =>
              !part.wanted ||
              total(part) === (atStart.get(part.id) ?? 0) ||
              total(part) === sequences(events, part.id).at(-1),
          );
        // Without its timer it has to come to the end by itself.
        await settle(scheduler, () => announced || complete());
        // Everything again, late.
        world.committed.forEach(world.tell);
        world.resync();
        await settle(scheduler, () => true);

        for (const part of parts) {
          const found = sequences(events, part.id);
          if (!part.wanted) {
            expect(found).toEqual([]);
            continue;
          }
          const from = found[0] ?? total(part) + 1;
          expect(found).toEqual(range(from, total(part)));
          expect(from).toBeGreaterThan(atCall.get(part.id) ?? 0);
          expect(from).toBeLessThanOrEqual((atStart.get(part.id) ?? 0) + 1);
        }
        await stream.return?.();
        await end;
        expect(world.listeners()).toBe(0);
      }),
      runs,
    );
  });
});
