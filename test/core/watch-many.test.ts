import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import type { EventStream } from '../../src/core/inbox-stream.ts';
import type { ProvisioningEvent } from '../../src/core/model.ts';
import { createWatch } from '../../src/core/watch.ts';
import { createMemoryEvents, eventOf } from './memory-events.ts';

const minute = 60_000;
const id = (n: number) => `${String(n).padStart(8, '0')}-0000-4000-8000-000000000000`;

function started(rereadIntervalMs = minute) {
  const clock = { now: Date.UTC(2030, 0) };
  const events = createMemoryEvents(turn, () => new Date(clock.now));
  const write = (tenant: number, sequence: number, more: Partial<ProvisioningEvent> = {}) => {
    const event = eventOf({ tenantId: id(tenant), sequence, createdAt: new Date(clock.now), ...more });
    events.commit([event], true);
    return event;
  };
  return { ...events, clock, write, watch: createWatch({ ...events, rereadIntervalMs }) };
}

/** What comes of a stream, as it comes; ends with the stream. */
function listen(stream: EventStream): { seen: string[]; end: Promise<void> } {
  const seen: string[] = [];
  const end = (async () => {
    for await (const { tenantId, sequence } of stream)
      seen.push(`${Number(tenantId.slice(0, 8))}:${sequence}`);
  })();
  return { seen, end };
}

describe('the stream of many tenants', () => {
  test('passes on what comes of a tenant that was quiet for long, and what was lost before it', async () => {
    const { watch, write, tell, clock } = started();
    for (let sequence = 1; sequence <= 6; sequence++) write(1, sequence);
    clock.now += minute;
    const stream = await watch.many(null);
    const { seen, end } = listen(stream);
    write(1, 7); // its message is lost
    tell(write(1, 8));
    await vi.waitFor(() => expect(seen).toEqual(['1:7', '1:8']));
    tell(write(1, 9));
    await vi.waitFor(() => expect(seen).toEqual(['1:7', '1:8', '1:9']));
    await stream.return?.();
    await end;
  });

  test('shows nothing from before it began, however late it is told, and asks nobody about it', async () => {
    const { watch, write, tell, clock, reads } = started();
    const old = [write(1, 1), write(1, 2), write(2, 1)];
    clock.now += minute;
    const recent = [write(3, 1), write(3, 2), write(2, 2)];
    const stream = await watch.many(null);
    const { seen, end } = listen(stream);
    const atStart = reads();
    [...old, ...recent].forEach(tell);
    tell(write(4, 1));
    await vi.waitFor(() => expect(seen).toEqual(['4:1']));
    expect(reads()).toBe(atStart);
    await stream.return?.();
    await end;
  });

  test('repeats nothing of thousands of tenants, however late it is told again', async () => {
    const { watch, write, tell, resync, clock, reads } = started();
    const stream = await watch.many(null);
    const { seen, end } = listen(stream);
    const told: ProvisioningEvent[] = [];
    for (let batch = 0; batch < 5; batch++) {
      for (let n = 0; n < 500; n++) told.push(write(batch * 500 + n, 1));
      told.slice(-500).forEach(tell);
      await vi.waitFor(() => expect(seen).toHaveLength(told.length));
      clock.now += minute;
      const before = reads();
      resync();
      await vi.waitFor(() => expect(reads()).toBeGreaterThan(before));
    }
    for (let from = 0; from < told.length; from += 500) {
      told.slice(from, from + 500).forEach(tell);
      await turn();
    }
    tell(write(9_999, 1));
    await vi.waitFor(() => expect(seen.at(-1)).toBe('9999:1'));
    expect(seen).toHaveLength(told.length + 1);
    await stream.return?.();
    await end;
  });

  test('finds a lost event although others keep coming', async () => {
    const { watch, write, tell } = started(50);
    const stream = await watch.many(null);
    const { seen, end } = listen(stream);
    write(1, 1); // its message is lost, and no other one comes of its tenant
    for (let sequence = 1; !seen.includes('1:1'); sequence++) {
      tell(write(2, sequence));
      await turn();
    }
    await stream.return?.();
    await end;
    expect(seen.filter((event) => event === '1:1')).toEqual(['1:1']);
  });

  test('believes no event that is out of turn', async () => {
    const { watch, write, tell } = started();
    const stream = await watch.many(null);
    const { seen, end } = listen(stream);
    tell(write(1, 1));
    tell({ ...write(1, 2), sequence: 1_000 });
    tell({ ...write(2, 1), tenantId: id(3), sequence: 5 });
    tell(write(4, 1));
    await vi.waitFor(() => expect(seen).toContain('4:1'));
    expect(seen.toSorted()).toEqual(['1:1', '1:2', '2:1', '4:1']);
    await stream.return?.();
    await end;
  });

  test('leaves nothing behind when its beginning fails', async () => {
    const { history, feed, listeners } = started();
    const broken = { ...history, since: () => Promise.reject(new Error('out')) };
    const watch = createWatch({ history: broken, feed, rereadIntervalMs: minute });
    await expect(watch.many(null)).rejects.toThrow('out');
    expect(listeners()).toBe(0);
  });
});

describe('a stream that is returned', () => {
  test.each(['one', 'many'] as const)(
    'ends at once while it waits (%s), without listener or timer',
    async (kind) => {
      const timers = () =>
        process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
      const before = timers();
      const { watch, write, listeners } = started();
      write(1, 1);
      const stream = await (kind === 'one' ? watch.one(id(1), 1) : watch.many(null));
      const waiting = stream.next();
      while (timers() === before) await turn();
      expect(listeners()).toBe(1);
      const done = { value: undefined, done: true };
      expect([await stream.return?.(), await waiting, await stream.next()]).toEqual([done, done, done]);
      expect([listeners(), timers()]).toEqual([0, before]);
    },
  );

  test.each(['one', 'many'] as const)('before its first event leaves no listener (%s)', async (kind) => {
    const { watch, listeners } = started();
    const stream = await (kind === 'one' ? watch.one(id(1), 0) : watch.many([id(1)]));
    expect(listeners()).toBe(1);
    await stream.return?.();
    expect(listeners()).toBe(0);
  });

  test('leaves no listener when the history fails', async () => {
    const { history, feed, listeners } = started();
    const broken = { ...history, after: () => Promise.reject(new Error('out')) };
    const stream = createWatch({ history: broken, feed, rereadIntervalMs: minute }).one(id(1), 0);
    await expect(stream.next()).rejects.toThrow('out');
    expect(listeners()).toBe(0);
  });
});
