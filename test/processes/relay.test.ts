import { expect, test } from 'vitest';
import type { ToChild } from '../../src/processes/messages.ts';
import { createRelay } from '../../src/processes/relay.ts';
import type { Child } from '../../src/processes/supervisor.ts';

/** A process that reads only when it is told to, and has room for one message meanwhile. */
function slowReader() {
  const received: ToChild[] = [];
  const waiting: { message: ToChild; onWritten: () => void }[] = [];
  const child: Child = {
    pid: 1,
    ports: { httpPort: 1, grpcPort: 1 },
    send(message, onWritten = () => {}) {
      waiting.push({ message, onWritten });
      return waiting.length <= 1;
    },
  };
  function read(): void {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      received.push(next.message);
      next.onWritten();
    }
  }
  return { child, received, read, waiting };
}

const event = (text: string) => ({ kind: 'publish', channel: 'events', text }) as const;
const published = (text: string) => ({ kind: 'published', channel: 'events', text });

test('what a process publishes reaches all others, in order, and not itself', () => {
  const [one, two, three] = [slowReader(), slowReader(), slowReader()];
  const relay = createRelay(new Set([one.child, two.child, three.child]));
  for (const text of ['a', 'b']) {
    relay(one.child, event(text));
    for (const { read } of [one, two, three]) read();
  }
  expect(one.received).toEqual([]);
  expect(two.received).toEqual([published('a'), published('b')]);
  expect(three.received).toEqual(two.received);
});

test('for a process that does not read little is kept, and it is told that it missed something', () => {
  const [one, stuck] = [slowReader(), slowReader()];
  const relay = createRelay(new Set([one.child, stuck.child]));
  for (let number = 0; number < 1_000; number++) relay(one.child, event(String(number)));
  expect(stuck.waiting.length).toBeLessThan(10);
  stuck.read();
  expect(stuck.received.at(-1)).toEqual({ kind: 'missed' });
  relay(one.child, event('later'));
  stuck.read();
  expect(stuck.received.at(-1)).toEqual(published('later'));
});
