import type { FromChild } from './messages.ts';
import type { Child } from './supervisor.ts';

/**
 * Passes on what a process publishes to all others, in the order in which it comes. For one that does not read nothing
 * is kept: it is told that it has missed something when it reads again.
 */
export function createRelay(children: ReadonlySet<Child>) {
  const behind = new WeakSet<Child>();
  return (from: Child, { channel, text }: Extract<FromChild, { kind: 'publish' }>): void => {
    for (const child of children) {
      if (child === from || behind.has(child)) continue;
      const hasRoom = child.send({ kind: 'published', channel, text }, () => {
        if (behind.delete(child)) child.send({ kind: 'missed' });
      });
      if (!hasRoom) behind.add(child);
    }
  };
}
