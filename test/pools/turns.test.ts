import { once } from 'node:events';
import { createConnection, createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { hold, type PoolsBed, pidFor, startPoolsBed, type TestPools, untilTotals } from './pools-bed.ts';

let bed: PoolsBed;
let [a, b, c] = ['', '', ''];

beforeAll(async () => {
  bed = await startPoolsBed();
  [a = '', b = '', c = ''] = await bed.createTenants(3);
});
afterAll(() => bed?.[Symbol.asyncDispose]());

/** Who is served, in order, when a connection that is held is given back to those who wait: `aabc` and so on. */
async function orderOf(pools: TestPools, waiters: string): Promise<string> {
  const ids: Record<string, string> = { a, b, c };
  let order = '';
  const held = await hold(pools, a);
  const waiting: Promise<unknown>[] = [];
  for (const name of waiters) {
    waiting.push(pools.withTenant(ids[name] ?? '', async () => (order += name)));
    await untilTotals(pools, { waiting: waiting.length });
  }
  await held.release();
  await Promise.all(waiting);
  return order;
}

describe('the budget', () => {
  test('is for all tenants together, on the server too', async () => {
    await using pools = bed.pools({ budget: 2 });
    const [first, second] = [await hold(pools, a), await hold(pools, b)];
    const third = hold(pools, c);
    await untilTotals(pools, { active: 2, waiting: 1 });
    expect(await bed.sessions(a, b, c)).toEqual([first.pid, second.pid]);
    await first.release();
    const { pid, release } = await third;
    expect(await bed.sessions(a, b, c)).toEqual([second.pid, pid]);
    await Promise.all([second.release(), release()]);
    expect(pools.totals()).toEqual({ active: 0, idle: 2, waiting: 0, max: 2 });
    expect(pools.evictions()).toBe(1);
  });

  test('that is used up is made room in by the connection that was used least recently', async () => {
    await using pools = bed.pools({ budget: 3 });
    // Two of a, the second of which is used again after b's; pg lends the one that came back last.
    const [older, newer] = [await hold(pools, a), await hold(pools, a)];
    await older.release();
    await newer.release();
    const ofB = await pidFor(pools, b);
    expect(await pidFor(pools, a)).toBe(newer.pid);
    await pidFor(pools, c);
    expect(pools.totals()).toEqual({ active: 0, idle: 3, waiting: 0, max: 3 });
    expect(pools.usage(a)).toEqual({ active: 0, idle: 1, waiting: 0 });
    // The other one of a's is still the one that was used least recently.
    expect(await bed.sessions(a, b)).toEqual([older.pid, ofB]);
    await pidFor(pools, c);
    const [first, second] = [await hold(pools, c), await hold(pools, c)];
    expect(await bed.sessions(a, b)).toEqual([ofB]);
    expect(pools.evictions()).toBe(2);
    await first.release();
    await second.release();
  });

  test('is never made room in by a connection that somebody uses', async () => {
    await using pools = bed.pools({ budget: 1 });
    const held = await hold(pools, a);
    const waiting = pidFor(pools, b);
    await untilTotals(pools, { waiting: 1 });
    expect(await bed.sessions(a, b)).toEqual([held.pid]);
    expect(await held.session.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(pools.evictions()).toBe(0);
    await held.release();
    expect(await waiting).not.toBe(held.pid);
    expect(pools.evictions()).toBe(1);
  });

  test('is used to the full, and never more than that, by many tenants at once', async () => {
    await using pools = bed.pools({ budget: 4, max: 3 });
    let most = 0;
    const work = Array.from({ length: 60 }, (_, number) =>
      pools.withTenant([a, b, c][number % 3] ?? '', async () => {
        most = Math.max(most, (await bed.sessions(a, b, c)).length);
      }),
    );
    await Promise.all(work);
    expect(most).toBe(4);
  });

  test('is kept when idle connections and new ones are asked for at once', async () => {
    await using pools = bed.pools({ budget: 4, max: 3 });
    for (const id of [a, b, c]) await pidFor(pools, id);
    let most = 0;
    const work = [a, a, a, b, b, b, c, c, c].map((id) =>
      pools.withTenant(id, async () => {
        most = Math.max(most, (await bed.sessions(a, b, c)).length);
      }),
    );
    await Promise.all(work);
    expect(most).toBe(4);
    expect(pools.totals().idle).toBe(4);
  });

  test('is free again when the network is gone, so that the server never says goodbye', async () => {
    const { host, port } = bed.app.app.database;
    const relay = createServer({ allowHalfOpen: true }, (client) => {
      const server = createConnection({ host, port });
      client.pipe(server).pipe(client, { end: false });
      for (const socket of [client, server]) socket.on('error', () => socket.destroy());
    });
    await once(relay.listen(0, '127.0.0.1'), 'listening');
    await using _ = { [Symbol.asyncDispose]: async () => void relay.close() };
    const address = relay.address();
    const relayPort = typeof address === 'object' ? address?.port : undefined;
    if (relayPort === undefined) throw new Error('the relay has no port');
    await using pools = bed.pools({ budget: 1, port: relayPort, limits: { closeMs: 50 } });
    const first = await pidFor(pools, a);
    expect(await pidFor(pools, b)).not.toBe(first);
  });

  test('bounds what one tier allows', async () => {
    await using pools = bed.pools({ budget: 1, max: 100 });
    const held = await hold(pools, a);
    const waiting = pidFor(pools, a);
    await untilTotals(pools, { waiting: 1 });
    await held.release();
    expect(await waiting).toBe(held.pid);
  });
});

describe('tenants that wait', () => {
  test('take turns, whatever the number of their waiters', async () => {
    await using pools = bed.pools({ budget: 1, limits: { turnsInARow: 1 } });
    expect(await orderOf(pools, 'aaaaabbbc')).toBe('bcababaaa');
  });

  test('keep a connection for a few turns in a row, which saves logging in, then the next one has it', async () => {
    await using pools = bed.pools({ budget: 1, limits: { turnsInARow: 3 } });
    expect(await orderOf(pools, 'aaaaaabbbbc')).toBe('aabbbcaaaba');
    expect(pools.evictions()).toBe(5);
  });

  test('keep it when nobody else waits', async () => {
    await using pools = bed.pools({ budget: 1, limits: { turnsInARow: 1 } });
    expect(await orderOf(pools, 'aaaa')).toBe('aaaa');
    expect(pools.evictions()).toBe(0);
  });

  test('are not starved by one that never stops asking', async () => {
    const turnsInARow = 4;
    await using pools = bed.pools({ budget: 1, limits: { turnsInARow, waitMs: 60_000 } });
    let served = '';
    let asking = true;
    const othersWait = () => pools.usage(b).waiting + pools.usage(c).waiting > 0;
    const noisy = Array.from({ length: 30 }, async () => {
      while (asking) await pools.withTenant(a, async () => (served += othersWait() ? 'A' : 'a'));
    });
    for (let round = 0; round < 10; round++)
      await Promise.all([b, c].map((id) => pools.withTenant(id, async () => (served += '.'))));
    asking = false;
    await Promise.all(noisy);
    // The turns of one row, and the one that had begun.
    const whileOthersWaited = served.split('.').map((row) => row.replaceAll('a', '').length);
    expect(Math.max(...whileOthersWaited)).toBeLessThanOrEqual(turnsInARow + 1);
    expect(Math.max(...whileOthersWaited)).toBeGreaterThan(1);
  });

  test('have their share when there is not enough for all: who has more gives to who has less', async () => {
    await using pools = bed.pools({ budget: 4, limits: { turnsInARow: 1 } });
    const ofA = await Promise.all([1, 2, 3, 4].map(() => hold(pools, a)));
    const more = [1, 2, 3, 4].map(() => hold(pools, a));
    const ofB = [1, 2, 3].map(() => hold(pools, b));
    await untilTotals(pools, { waiting: 7 });
    for (const expected of [
      { ofA: 3, ofB: 1 },
      { ofA: 2, ofB: 2 },
      { ofA: 2, ofB: 2 },
    ]) {
      await ofA.pop()?.release();
      await eventually(() => pools.usage(b).active === expected.ofB, 10_000);
      expect(pools.usage(a).active).toBe(expected.ofA);
    }
    await ofA.pop()?.release();
    for (const held of [...more, ...ofB]) void held.then(({ release }) => release());
    await Promise.all([...more, ...ofB]);
  });

  test('for more than they have take nothing that is used again in a moment', async () => {
    await using pools = bed.pools({ budget: 2, limits: { settledMs: 60_000, waitMs: 60_000 } });
    await Promise.all([pidFor(pools, a), pidFor(pools, b)]);
    const held = await hold(pools, a);
    const second = pidFor(pools, a);
    await untilTotals(pools, { active: 1, idle: 1, waiting: 1 });
    await pidFor(pools, b);
    expect(pools.evictions()).toBe(0);
    // Who has nothing does not wait for that.
    await pidFor(pools, c);
    expect(pools.evictions()).toBe(1);
    await held.release();
    expect(await second).toBe(held.pid);
  });

  test('for more than they have get what has been idle for a while, without anybody giving back', async () => {
    await using pools = bed.pools({ budget: 2, limits: { settledMs: 30, waitMs: 60_000 } });
    await Promise.all([pidFor(pools, a), pidFor(pools, b)]);
    const held = await hold(pools, a);
    expect(await pidFor(pools, a)).not.toBe(held.pid);
    expect(pools.usage(b)).toEqual({ active: 0, idle: 0, waiting: 0 });
    await held.release();
  });
});

test('a broken connection that is still in its borrower’s hands makes no room, and takes none from others', async () => {
  await using pools = bed.pools({ budget: 2, max: 1, limits: { waitMs: 60_000 } });
  const held = await hold(pools, a);
  const ofB = await pidFor(pools, b);
  await bed.app.sql('SELECT pg_terminate_backend($1, 5000)', [held.pid]);
  await expect(held.session.query('SELECT')).rejects.toThrow();
  const waiting = pidFor(pools, a);
  await untilTotals(pools, { waiting: 1 });
  expect(await pidFor(pools, b)).toBe(ofB);
  expect(pools.usage(a)).toEqual({ active: 1, idle: 0, waiting: 1 });
  await held.release();
  expect(await waiting).not.toBe(held.pid);
  expect(pools.evictions()).toBe(0);
});

describe('who waits in vain', () => {
  test('for a connection of its tenant is told so, and is in nobody’s way', async () => {
    await using pools = bed.pools({ max: 1, limits: { waitMs: 20 } });
    const held = await hold(pools, a);
    await expect(pidFor(pools, a)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message:
        'No connection of the tenant became free within 20 ms; the 1 that its tier allows are in use. Try again later.',
    });
    expect(pools.totals()).toEqual({ active: 1, idle: 0, waiting: 0, max: 10 });
    await held.release();
    expect(await pidFor(pools, a)).toBe(held.pid);
    expect(pools.waits).toHaveLength(3);
    expect(pools.waits[1]).toBeGreaterThanOrEqual(0.015);
  });

  test('for a connection of the process is told so', async () => {
    await using pools = bed.pools({ budget: 1, limits: { waitMs: 20 } });
    const held = await hold(pools, a);
    await expect(pidFor(pools, b)).rejects.toMatchObject({
      code: 'LIMIT_EXCEEDED',
      message:
        'No connection of the tenant became free within 20 ms; the 1 that this process has for all tenants are in use. Try again later.',
    });
    await held.release();
  });
});
