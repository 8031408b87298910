import { expect, test } from 'vitest';
import { whenItIs } from '../../src/core/timer.ts';
import { eventually } from '../support/eventually.ts';

test('it calls back in the order of the times, also for what has passed, and not for what is 25 days away or never', async () => {
  const called: string[] = [];
  // What Node says when it takes a timer that is too long, to fire it at once.
  const warnings: Error[] = [];
  process.on('warning', (warning) => warnings.push(warning));
  const call = (what: string) => () => void called.push(what);
  const now = Date.now();
  using _never = whenItIs(Infinity, call('never'));
  using _far = whenItIs(now + 2 ** 31 + 60_000, call('far'));
  using _near = whenItIs(now + 60, call('near'));
  using _past = whenItIs(now - 1, call('past'));
  using _longPast = whenItIs(-Infinity, call('long past'));
  whenItIs(now + 30, call('given up'))[Symbol.dispose]();
  expect(called).toEqual([]);
  await eventually(() => called.includes('near'), 5_000);
  expect(called).toEqual(['past', 'long past', 'near']);
  expect(warnings).toEqual([]);
  expect(Date.now()).toBeGreaterThanOrEqual(now + 60);
});
