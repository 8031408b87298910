import { describe, expect, test, vi } from 'vitest';
import { createInbox } from '../../src/core/inbox.ts';
import { createMemoryEvents, eventOf } from './memory-events.ts';

const tenantId = '22222222-2222-4222-8222-222222222222';
const minute = 60_000;
const event = (sequence: number) => eventOf({ tenantId, sequence });

function inboxOn(intervalMs: number) {
  const events = createMemoryEvents(
    async () => {},
    () => new Date(0),
  );
  return { ...events, inbox: createInbox(events.feed, intervalMs, (event) => event.tenantId === tenantId) };
}

describe('an inbox', () => {
  test('hands out what it wants in the order of arrival, to who waits and to who comes later', async () => {
    const { inbox, tell } = inboxOn(minute);
    const waiting = inbox.next();
    tell(eventOf({ tenantId: 'another', sequence: 1 }));
    for (const sequence of [1, 2, 2]) tell(event(sequence));
    expect([await waiting, await inbox.next(), await inbox.next()]).toEqual([event(1), event(2), event(2)]);
    inbox.close();
  });

  test('holds a thousand events; with one more it holds none and asks for the history', async () => {
    const { inbox, tell } = inboxOn(minute);
    for (let sequence = 1; sequence <= 1_000; sequence++) tell(event(sequence));
    expect(await inbox.next()).toEqual(event(1));
    tell(event(1_001));
    tell(event(1_002));
    expect(await inbox.next()).toBe('resync');
    tell(event(1_003));
    expect(await inbox.next()).toEqual(event(1_003));
    inbox.close();
  });

  test('asks for the history once when events may be lost, whatever it held', async () => {
    const { inbox, tell, resync } = inboxOn(minute);
    tell(event(1));
    resync();
    resync();
    expect(await inbox.next()).toBe('resync');
    const waiting = inbox.next();
    resync();
    expect(await waiting).toBe('resync');
    inbox.close();
  });

  test('asks for the history in every interval, in silence and when events keep coming', async () => {
    const { inbox, tell } = inboxOn(20);
    expect(await inbox.next()).toBe('resync');
    let events = 0;
    for (;;) {
      tell(event(1));
      if ((await inbox.next()) === 'resync') break;
      events += 1;
    }
    expect(events).toBeGreaterThan(0);
    inbox.close();
  });

  test('that is closed says so at once, for ever, and leaves no listener and no timer', async () => {
    const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length;
    const before = timers();
    const { inbox, tell, resync, listeners } = inboxOn(minute);
    const waiting = inbox.next();
    await vi.waitFor(() => expect([listeners(), timers()]).toEqual([1, before + 1]));
    inbox.close();
    expect([listeners(), timers()]).toEqual([0, before]);
    tell(event(1));
    resync();
    expect([await waiting, await inbox.next()]).toEqual(['closed', 'closed']);
  });
});
