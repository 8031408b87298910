import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { currentSignal, withCancellation } from '../../src/core/cancellation.ts';
import { createPool, poolUsage } from '../../src/db/pool.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

const name = 'the pool under test';
/** A statement that waits until it is ended: somebody holds this lock. */
const endless = 'SELECT pg_advisory_lock(1)';

let database: TestDatabase;
let observer: pg.Client;
let pool: pg.Pool;
let errors: Error[];

beforeAll(async () => {
  database = await createTestDatabase();
  observer = new pg.Client(database.administrator);
  await observer.connect();
  await observer.query(endless);
});
afterAll(async () => {
  await observer?.end();
  await database?.[Symbol.asyncDispose]();
});

beforeEach(() => {
  errors = [];
  pool = createPool(database.settings, { max: 2, name, onError: (error) => errors.push(error) });
});
afterEach(async () => {
  await pool.end();
  await eventually(async () => (await backends()).length === 0, 10_000);
});

async function backends(): Promise<{ pid: number; waits: boolean }[]> {
  const { rows } = await observer.query(
    `SELECT pid, wait_event_type IS NOT DISTINCT FROM 'Lock' AS waits FROM pg_stat_activity WHERE application_name = $1 ORDER BY pid`,
    [name],
  );
  return rows;
}

const untilWaiting = (count = 1) =>
  eventually(async () => (await backends()).filter(({ waits }) => waits).length === count, 10_000);

const pidOf = async (sql: Promise<pg.QueryResult>) => (await sql).rows[0]?.pid;
const pid = 'SELECT pg_backend_pid() AS pid';

describe('when its signal aborts', () => {
  test('a statement ends on the server, and nobody gets its connection again', async () => {
    const aborting = new AbortController();
    const statement = withCancellation(aborting.signal, () => pool.query(endless));
    const ended = expect(statement).rejects.toThrow(/Connection terminated/);
    await untilWaiting();
    const [backend] = await backends();
    aborting.abort();
    await ended;
    await eventually(async () => (await backends()).length === 0, 10_000);
    expect(await pidOf(pool.query(pid))).not.toBe(backend?.pid);
    expect(poolUsage(pool)).toEqual({ active: 0, idle: 1, waiting: 0, max: 2 });
  });

  test('a statement in a transaction ends, and what it changed is undone', async () => {
    await pool.query('CREATE TABLE IF NOT EXISTS changed (number int)');
    const aborting = new AbortController();
    const transaction = withCancellation(aborting.signal, async () => {
      const client = await pool.connect();
      try {
        await client.query('BEGIN');
        await client.query('INSERT INTO changed VALUES (1)');
        await client.query(endless);
      } finally {
        client.release(true);
      }
    });
    const ended = expect(transaction).rejects.toThrow(/Connection terminated/);
    await untilWaiting();
    aborting.abort();
    await ended;
    expect((await pool.query('TABLE changed')).rows).toEqual([]);
  });

  test('a statement that travelled behind others ends, though those have ended before', async () => {
    const aborting = new AbortController();
    const statements = withCancellation(aborting.signal, async () => {
      const client = await pool.connect();
      try {
        await Promise.all([client.query('BEGIN'), client.query(endless), client.query('COMMIT')]);
      } finally {
        client.release(true);
      }
    });
    const ended = expect(statements).rejects.toThrow(/Connection terminated/);
    await untilWaiting();
    aborting.abort();
    await ended;
    await eventually(async () => (await backends()).length === 0, 10_000);
  });

  test('the statements of others go on', async () => {
    const aborting = new AbortController();
    const theirs = pool.query(`${endless}, 'theirs' AS whose`);
    await untilWaiting(1);
    const mine = withCancellation(aborting.signal, () => pool.query(endless));
    const ended = expect(mine).rejects.toThrow();
    await untilWaiting(2);
    aborting.abort();
    await ended;
    await untilWaiting(1);
    await observer.query('SELECT pg_advisory_unlock(1)');
    expect((await theirs).rows[0]?.whose).toBe('theirs');
    // It holds the lock now; with its session that ends.
    await observer.query('SELECT pg_terminate_backend($1)', [(await backends())[0]?.pid]);
    await observer.query(endless);
  });

  test('before a statement began, it is refused', async () => {
    const statement = withCancellation(AbortSignal.abort(), () => pool.query('SELECT'));
    await expect(statement).rejects.toThrow();
    expect((await pool.query('SELECT 1 AS one')).rows).toEqual([{ one: 1 }]);
  });

  test('before a statement began, it costs nobody a connection', async () => {
    const first = await pidOf(pool.query(pid));
    await expect(withCancellation(AbortSignal.abort(), () => pool.query('SELECT'))).rejects.toThrow();
    expect(await pidOf(pool.query(pid))).toBe(first);
  });

  test('between the statements of a transaction, nothing of it is committed', async () => {
    const aborting = new AbortController();
    const client = await pool.connect();
    const within = (sql: string) => withCancellation(aborting.signal, () => client.query(sql));
    await within('BEGIN');
    await within("INSERT INTO encryption_keys (id, fingerprint) VALUES ('aborted', 'x')");
    aborting.abort();
    await expect(within('COMMIT')).rejects.toThrow();
    client.release();
    const { rows } = await pool.query("SELECT FROM encryption_keys WHERE id = 'aborted'");
    expect(rows).toEqual([]);
  });

  test('after its statement ended, the next one on the connection goes on', async () => {
    const one = createPool(database.settings, { max: 1, name, onError: (error) => errors.push(error) });
    const aborting = new AbortController();
    const first = withCancellation(aborting.signal, () => one.query(pid));
    // Asked for while the first is busy, so that the connection is never idle in between.
    const second = one.query('SELECT pg_sleep(0.3), pg_backend_pid() AS pid');
    const backend = await pidOf(first);
    aborting.abort();
    expect(await pidOf(second)).toBe(backend);
    await one.end();
  });

  test('after a statement ended, nothing happens', async () => {
    const aborting = new AbortController();
    const first = await pidOf(withCancellation(aborting.signal, () => pool.query(pid)));
    aborting.abort();
    expect(await pidOf(pool.query(pid))).toBe(first);
  });
});

describe('a statement that waited for a connection', () => {
  /** Two statements of others in the pool's two connections. @returns how to end them */
  async function occupied(signal: AbortSignal): Promise<() => Promise<void>> {
    const clients = await withCancellation(signal, () => Promise.all([pool.connect(), pool.connect()]));
    return async () => clients.forEach((client) => void client.release());
  }

  test('is ended by its own signal', async () => {
    const [theirs, mine] = [new AbortController(), new AbortController()];
    const release = await occupied(theirs.signal);
    const statement = withCancellation(mine.signal, () => pool.query(endless));
    const ended = expect(statement).rejects.toThrow(/Connection terminated/);
    expect(poolUsage(pool)).toEqual({ active: 2, idle: 0, waiting: 1, max: 2 });
    await release();
    await untilWaiting();
    mine.abort();
    await ended;
  });

  test('is not ended by the signal of whoever opened the connection or gave it back', async () => {
    const theirs = new AbortController();
    const holding = await withCancellation(theirs.signal, () =>
      Promise.all([pool.connect(), pool.connect()]),
    );
    const statement = pool.query('SELECT 1 AS one');
    // The first goes back at the end of a statement of theirs, after their signal has aborted.
    const last = holding[0];
    await withCancellation(theirs.signal, async () => {
      await last.query('SELECT');
      theirs.abort();
      last.release();
    });
    expect((await statement).rows).toEqual([{ one: 1 }]);
    holding[1].release();
  });
});

test('what a connection hears later belongs to nobody who once opened it', async () => {
  const signal = new AbortController().signal;
  const client = await withCancellation(signal, () => pool.connect());
  try {
    const heard = Promise.withResolvers<AbortSignal | undefined>();
    client.on('notification', () => heard.resolve(currentSignal()));
    await client.query('LISTEN news');
    await observer.query(`NOTIFY news`);
    expect(await heard.promise).toBeUndefined();
  } finally {
    client.release(true);
  }
});

test('a connection that breaks is reported, and replaced at the next use', async () => {
  const broken = await pidOf(pool.query(pid));
  await observer.query('SELECT pg_terminate_backend($1)', [broken]);
  await eventually(() => errors.length > 0, 10_000);
  expect(errors[0]).toMatchObject({ code: '57P01' });
  expect(await pidOf(pool.query(pid))).not.toBe(broken);
});

test('its usage is told in numbers', async () => {
  expect(poolUsage(pool)).toEqual({ active: 0, idle: 0, waiting: 0, max: 2 });
  const first = await pool.connect();
  expect(poolUsage(pool)).toEqual({ active: 1, idle: 0, waiting: 0, max: 2 });
  const second = await pool.connect();
  const third = pool.connect();
  expect(poolUsage(pool)).toEqual({ active: 2, idle: 0, waiting: 1, max: 2 });
  first.release();
  (await third).release();
  expect(poolUsage(pool)).toEqual({ active: 1, idle: 1, waiting: 0, max: 2 });
  second.release();
  expect(poolUsage(pool)).toEqual({ active: 0, idle: 2, waiting: 0, max: 2 });
});
