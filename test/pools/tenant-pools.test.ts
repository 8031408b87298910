import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withCancellation } from '../../src/core/cancellation.ts';
import type { SqlSession } from '../../src/core/ports.ts';
import { tenantNames } from '../../src/workers/tenant-names.ts';
import { eventually } from '../support/eventually.ts';
import { hold, type PoolsBed, pidFor, pidOf, startPoolsBed, untilTotals } from './pools-bed.ts';

let bed: PoolsBed;
let [a, b, c] = ['', '', ''];

beforeAll(async () => {
  bed = await startPoolsBed();
  [a = '', b = '', c = ''] = await bed.createTenants(3);
});
afterAll(() => bed?.[Symbol.asyncDispose]());

describe('a borrower', () => {
  test('works as the tenant’s login, in its schema alone, and gets what its work answers', async () => {
    await using pools = bed.pools();
    const found = await pools.withTenant(a.toUpperCase(), async ({ query }) => {
      await query('INSERT INTO users (email, display_name) VALUES ($1, $2)', ['a@b.example', 'A']);
      return query(
        'SELECT session_user::text AS login, current_schemas(false)::text AS schemas, email FROM users',
      );
    });
    const { app, schema } = tenantNames(a);
    expect(found).toEqual([{ login: app, schemas: `{${schema}}`, email: 'a@b.example' }]);
    expect(await pools.withTenant(b, ({ query }) => query('SELECT email FROM users'))).toEqual([]);
  });

  test('whose work fails gets its error, and the connection serves the next one', async () => {
    await using pools = bed.pools();
    const pid = await pidFor(pools, a);
    await expect(pools.withTenant(a, ({ query }) => query('SELECT 1 / 0'))).rejects.toMatchObject({
      code: '22012',
    });
    expect(await pidFor(pools, a)).toBe(pid);
  });

  test('cannot use the connection when its work is over', async () => {
    await using pools = bed.pools();
    let kept: SqlSession | undefined;
    await pools.withTenant(a, async (session) => {
      kept = session;
    });
    await expect(kept?.query('SELECT 1')).rejects.toThrow('was given back');
  });

  test('of a tenant that is not there is told so, and of an id that is none', async () => {
    await using pools = bed.pools();
    await expect(pidFor(pools, randomUUID())).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await expect(pidFor(pools, 'tenant')).rejects.toMatchObject({ code: 'BAD_USER_INPUT' });
    expect(pools.totals()).toEqual({ active: 0, idle: 0, waiting: 0, max: 10 });
  });
});

describe('a tenant', () => {
  test('has as many connections as its tier allows, and the rest waits; others are not held up', async () => {
    await using pools = bed.pools({ max: 2 });
    const [first, second] = [await hold(pools, a), await hold(pools, a)];
    const third = hold(pools, a);
    const other = await hold(pools, b);
    expect(pools.usage(a)).toEqual({ active: 2, idle: 0, waiting: 1 });
    expect(pools.usage(b)).toEqual({ active: 1, idle: 0, waiting: 0 });
    expect(pools.usage(c)).toEqual({ active: 0, idle: 0, waiting: 0 });
    expect(pools.totals()).toEqual({ active: 3, idle: 0, waiting: 1, max: 10 });
    expect(await bed.sessions(a)).toHaveLength(2);
    await first.release();
    expect((await third).pid).toBe(first.pid);
    for (const held of [second, await third, other]) await held.release();
    expect(pools.totals()).toEqual({ active: 0, idle: 3, waiting: 0, max: 10 });
    expect(pools.evictions()).toBe(0);
  });

  test('serves its waiters in the order in which they came', async () => {
    await using pools = bed.pools({ max: 1 });
    const first = await hold(pools, a);
    const order: number[] = [];
    const waiting = [1, 2, 3, 4].map((number) => pools.withTenant(a, async () => void order.push(number)));
    await untilTotals(pools, { waiting: 4 });
    await first.release();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2, 3, 4]);
  });
});

describe('a connection', () => {
  test('is lent to one borrower after another, without asking the registry', async () => {
    await using pools = bed.pools({ limits: { accountMs: 0 } });
    const pid = await pidFor(pools, a);
    const readings = bed.readings.count;
    for (let count = 0; count < 5; count++) expect(await pidFor(pools, a)).toBe(pid);
    expect(bed.readings.count).toBe(readings);
    expect(pools.waits).toHaveLength(6);
  });

  test('is replaced after so many uses', async () => {
    await using pools = bed.pools({ limits: { uses: 3 } });
    const pids: number[] = [];
    for (let count = 0; count < 7; count++) pids.push(await pidFor(pools, a));
    const [first, second, third] = [pids[0], pids[3], pids[6]];
    expect(pids).toEqual([first, first, first, second, second, second, third]);
    expect(new Set(pids).size).toBe(3);
  });

  test('is closed when it is old, not out of the hands of its borrower', async () => {
    await using pools = bed.pools({ limits: { ageMs: 50 } });
    const idle = await pidFor(pools, a);
    await eventually(async () => !(await bed.sessions(a)).includes(idle), 10_000);
    const held = await hold(pools, a);
    await held.session.query('SELECT pg_sleep(0.1)');
    expect(await pidOf(held.session)).toBe(held.pid);
    await held.release();
    expect(await pidFor(pools, a)).not.toBe(held.pid);
  });

  test('is closed when nobody has used it for a while; nothing of the tenant is left', async () => {
    await using pools = bed.pools({ limits: { idleMs: 20 } });
    await Promise.all([pidFor(pools, a), pidFor(pools, a)]);
    await eventually(async () => (await bed.sessions(a)).length === 0, 10_000);
    expect(pools.totals()).toEqual({ active: 0, idle: 0, waiting: 0, max: 10 });
    expect(pools.errors).toEqual([]);
  });

  test('that the server ends fails its borrower alone; the next one has another', async () => {
    await using pools = bed.pools();
    const broken = pools.withTenant(a, ({ query }) => query('SELECT pg_terminate_backend(pg_backend_pid())'));
    await expect(broken).rejects.toThrow(/terminat/);
    const pid = await pidFor(pools, a);
    expect(pools.usage(a)).toEqual({ active: 0, idle: 1, waiting: 0 });
    await bed.app.sql('SELECT pg_terminate_backend($1, 5000)', [pid]);
    await untilTotals(pools, { idle: 0 });
    expect(await pidFor(pools, a)).not.toBe(pid);
    expect(pools.errors.map(String)).toEqual([
      'Error: Connection terminated unexpectedly',
      'error: terminating connection due to administrator command',
    ]);
  });
});

test('nothing of one borrower reaches the next one', async () => {
  await using pools = bed.pools({ max: 1 });
  const state = `SELECT current_schemas(false)::text AS schemas, current_setting('work_mem') AS work_mem,
    current_setting('lock_timeout') AS lock_timeout, current_setting('role') AS role,
    (SELECT count(*)::int FROM pg_prepared_statements) AS prepared, (SELECT count(*)::int FROM pg_cursors) AS cursors,
    (SELECT count(*)::int FROM pg_listening_channels()) AS channels,
    (SELECT count(*)::int FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
    to_regclass('left_behind')::text AS table, (SELECT count(*)::int FROM roles) AS roles, pg_backend_pid() AS pid`;
  const stateOf = async () => (await pools.withTenant(a, ({ query }) => query(state)))[0];
  const before = await stateOf();
  expect(before).toMatchObject({ lock_timeout: '15s', prepared: 0, table: null, roles: 3 });

  const tenantsOwn = [
    `SET search_path TO public`,
    `SET work_mem TO '1MB'; SET lock_timeout TO 0`,
    'CREATE TEMP TABLE left_behind (number int)',
    'PREPARE left_behind AS SELECT 1',
    'DECLARE left_behind CURSOR WITH HOLD FOR SELECT 1',
    'LISTEN left_behind',
    'SELECT pg_advisory_lock(7)',
    `BEGIN; DELETE FROM ${tenantNames(a).schema}.roles`,
  ];
  await pools.withTenant(a, async ({ query }) => {
    for (const sql of tenantsOwn) await query(sql);
    expect((await query(state.replace('FROM roles', `FROM ${tenantNames(a).schema}.roles`)))[0]).toEqual({
      ...before,
      schemas: '{public}',
      work_mem: '1MB',
      lock_timeout: '0',
      prepared: 1,
      cursors: 1,
      channels: 1,
      locks: 1,
      table: 'left_behind',
      roles: 0,
    });
  });
  expect(await stateOf()).toEqual(before);

  // A transaction that failed, and one that was begun behind the borrower's back.
  await pools.withTenant(a, async ({ query }) => {
    await query('BEGIN');
    await query('SELECT 1 / 0').catch(() => {});
  });
  expect(await stateOf()).toEqual(before);
  await pools.withTenant(a, async ({ query }) => {
    void query('BEGIN; DELETE FROM roles').catch(() => {});
  });
  expect(await stateOf()).toEqual({ ...before, pid: expect.any(Number) });
});

test('a login that has set another search path for itself still works in its schema alone', async () => {
  await using pools = bed.pools();
  await pools.withTenant(c, ({ query }) =>
    query(`ALTER ROLE ${tenantNames(c).app} SET search_path TO public`),
  );
  await using others = bed.pools();
  const found = await others.withTenant(c, ({ query }) =>
    query('SELECT current_schemas(false)::text AS schemas'),
  );
  expect(found).toEqual([{ schemas: `{${tenantNames(c).schema}}` }]);
});

test('a statement that its borrower did not wait for is ended when it takes long', async () => {
  await using pools = bed.pools({ max: 1, limits: { resetMs: 20 } });
  const pid = await pools.withTenant(a, async (session) => {
    const own = await pidOf(session);
    void session.query('SELECT pg_sleep(600)').catch(() => {});
    return own;
  });
  await eventually(async () => !(await bed.sessions(a)).includes(pid), 10_000);
  expect(await pidFor(pools, a)).not.toBe(pid);
});

describe('a caller who is gone', () => {
  test('waits no more, and nobody is held up', async () => {
    await using pools = bed.pools({ max: 1 });
    const first = await hold(pools, a);
    const gone = new AbortController();
    const waiting = withCancellation(gone.signal, () => pidFor(pools, a));
    await untilTotals(pools, { waiting: 1 });
    const next = pidFor(pools, a);
    gone.abort(new Error('gone'));
    await expect(waiting).rejects.toThrow('gone');
    expect(pools.usage(a)).toEqual({ active: 1, idle: 0, waiting: 1 });
    await first.release();
    expect(await next).toBe(first.pid);
  });

  test('before a connection was opened leaves it to others', async () => {
    const [asked, answered] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const beforeReading = (number: number) => {
      // The first one is at the door, the second one when the server wants the password.
      if (number === 1) return undefined;
      asked.resolve();
      return answered.promise;
    };
    await using pools = bed.pools({ max: 1, limits: { accountMs: 0 }, beforeReading });
    const gone = new AbortController();
    const opening = withCancellation(gone.signal, () => pidFor(pools, a));
    await asked.promise;
    gone.abort(new Error('gone'));
    await expect(opening).rejects.toThrow('gone');
    expect(pools.usage(a)).toEqual({ active: 1, idle: 0, waiting: 0 });
    answered.resolve();
    await untilTotals(pools, { active: 0, idle: 1 });
    expect([await pidFor(pools, a)]).toEqual(await bed.sessions(a));
  });

  test('has its statement ended on the server too', async () => {
    await using pools = bed.pools({ max: 1 });
    const gone = new AbortController();
    const begun = Promise.withResolvers<number>();
    const endless = withCancellation(gone.signal, () =>
      pools.withTenant(a, async (session) => {
        begun.resolve(await pidOf(session));
        await session.query('SELECT pg_sleep(600)');
      }),
    );
    const ended = expect(endless).rejects.toThrow(/terminated/);
    const pid = await begun.promise;
    gone.abort();
    await ended;
    await eventually(async () => !(await bed.sessions(a)).includes(pid), 10_000);
    expect(await pidFor(pools, a)).not.toBe(pid);
  });

  test('is refused at once', async () => {
    await using pools = bed.pools();
    const gone = withCancellation(AbortSignal.abort(new Error('gone')), () => pidFor(pools, a));
    await expect(gone).rejects.toThrow('gone');
  });
});

describe('draining', () => {
  test('waits for borrowers, refuses who waits or comes, and leaves no session', async () => {
    const pools = bed.pools({ max: 1 });
    const held = await hold(pools, a);
    await pidFor(pools, b);
    const waiting = expect(pidFor(pools, a)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await untilTotals(pools, { waiting: 1 });
    const drained = pools.drain(60_000);
    await waiting;
    await expect(pidFor(pools, b)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await pidOf(held.session)).toBe(held.pid);
    await held.release();
    await drained;
    expect(await bed.sessions(a, b)).toEqual([]);
    await pools.drain(0);
  });

  test('ends in time what is not done', async () => {
    const pools = bed.pools();
    const held = await hold(pools, a);
    const statement = expect(held.session.query('SELECT pg_sleep(600)')).rejects.toThrow(/terminated/);
    await pools.drain(10);
    await statement;
    await held.release();
    await eventually(async () => (await bed.sessions(a)).length === 0, 10_000);
  });
});
