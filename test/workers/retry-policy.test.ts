import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isWorthRetrying } from '../../src/workers/retry-policy.ts';
import { PermanentStepError } from '../../src/workers/step.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';

const withCode = (code: string) => Object.assign(new Error('a statement failed'), { code });

describe('by its SQLSTATE', () => {
  test.each([
    ['a connection that broke', '08006'],
    ['a protocol that a pooler does not keep', '08P01'],
    ['a row of a catalog that two runners make', '23505'],
    ['a server that is a standby', '25006'],
    ['a session that was idle for too long', '25P03'],
    ['a transaction that took too long', '25P04'],
    ['a password that a pooler does not know yet', '28P01'],
    ['a serialization failure', '40001'],
    ['a deadlock', '40P01'],
    ['a role that is there by now', '42710'],
    ['a schema that is there by now', '42P06'],
    ['a full disk', '53100'],
    ['a lack of memory', '53200'],
    ['too many connections', '53300'],
    ['an object in use', '55006'],
    ['a lock that was not to be had', '55P03'],
    ['a statement that was cancelled', '57014'],
    ['a server that shuts down', '57P01'],
    ['a server that starts', '57P03'],
    ['a failure of the operating system', '58030'],
    ['an internal error', 'XX000'],
    ['a code that nobody knows', 'ZZ123'],
  ])('%s (%s) is tried again', (_, code) => {
    expect(isWorthRetrying(withCode(code))).toBe(true);
  });

  test.each([
    ['what the server cannot do', '0A000'],
    ['a subquery with too many rows', '21000'],
    ['a division by zero', '22012'],
    ['text that is no number', '22P02'],
    ['a missing value', '23502'],
    ['a reference to nothing', '23503'],
    ['a value that a check refuses', '23514'],
    ['a statement that refuses to be in a transaction', '25001'],
    ['a login that pg_hba.conf forbids', '28000'],
    ['a role that others depend on', '2BP01'],
    ['a database that is not there', '3D000'],
    ['a schema that is not there', '3F000'],
    ['a lack of rights', '42501'],
    ['a syntax error', '42601'],
    ['a column that is not there', '42703'],
    ['a table that is not there', '42P01'],
    ['a table that is there already', '42P07'],
    ['a function that is there already', '42723'],
    ['a row that a view does not take', '44000'],
    ['a table with too many columns', '54011'],
    ['an object in the wrong state', '55000'],
    ['a new enum value in its own transaction', '55P04'],
    ['an exception that a migration raises', 'P0001'],
    ['damaged data', 'XX001'],
    ['a damaged index', 'XX002'],
  ])('%s (%s) is not', (_, code) => {
    expect(isWorthRetrying(withCode(code))).toBe(false);
  });
});

describe('without an SQLSTATE', () => {
  test.each([
    ['a refused connection', withCode('ECONNREFUSED')],
    ['a broken pipe, whose code is as long as an SQLSTATE', withCode('EPIPE')],
    ['a code that is a number', Object.assign(new Error(), { code: 42601 })],
    ['a connection that ended', new Error('Connection terminated unexpectedly')],
    ['a bug', new TypeError('x is not a function')],
    ['what is no error at all', '42601'],
    ['nothing', undefined],
  ])('%s is tried again', (_, error) => {
    expect(isWorthRetrying(error)).toBe(true);
  });

  test('a step that says that it is permanent is not, whoever wraps it and whatever caused it', () => {
    const permanent = new PermanentStepError('no', { cause: withCode('40001') });
    expect(isWorthRetrying(permanent)).toBe(false);
    expect(isWorthRetrying(new Error('wrapped', { cause: permanent }))).toBe(false);
    expect(isWorthRetrying(Object.assign(permanent, { code: '40001' }))).toBe(false);
  });
});

describe('an error that is wrapped', () => {
  const wrapped = (cause: unknown) => new Error('0001_first.sql: failed', { cause });

  test('is judged by its cause, however deep', () => {
    expect(isWorthRetrying(wrapped(wrapped(withCode('22012'))))).toBe(false);
    expect(isWorthRetrying(wrapped(wrapped(withCode('40001'))))).toBe(true);
  });

  test('is judged by the outermost SQLSTATE', () => {
    const cause = withCode('42601');
    expect(isWorthRetrying(Object.assign(wrapped(cause), { code: '40001' }))).toBe(true);
    expect(isWorthRetrying(Object.assign(wrapped(cause), { code: 'ECONNRESET' }))).toBe(false);
  });

  test('that is its own cause comes to an end', () => {
    const error = withCode('42601');
    error.cause = wrapped(error);
    expect(isWorthRetrying(error)).toBe(false);
  });
});

describe('on a real server', () => {
  let database: TestDatabase;
  let one: pg.Client;
  let other: pg.Client;

  beforeAll(async () => {
    database = await createTestDatabase();
    one = new pg.Client(database.settings);
    other = new pg.Client(database.settings);
    await Promise.all([one.connect(), other.connect()]);
  });
  afterAll(async () => {
    await Promise.all([one?.end(), other?.end()]);
    await database?.[Symbol.asyncDispose]();
  });

  const failureOf = async (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => 'no failure',
      (error: unknown) => error,
    );

  test('two sessions that change one row of a catalog are worth another try', async () => {
    await one.query('CREATE SCHEMA shared');
    await one.query(`BEGIN; COMMENT ON SCHEMA shared IS 'one'`);
    await one.query('GRANT USAGE ON SCHEMA shared TO PUBLIC');
    const late = failureOf(other.query('GRANT CREATE ON SCHEMA shared TO PUBLIC'));
    await eventually(async () => {
      const { rowCount } = await one.query(
        `SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND datname = current_database()`,
      );
      return rowCount === 1;
    }, 10_000);
    await one.query('COMMIT');
    const error = await late;
    expect(error).toMatchObject({ code: 'XX000', message: 'tuple concurrently updated' });
    expect(isWorthRetrying(error)).toBe(true);
  });

  test('a lock that somebody else holds is worth another try', async () => {
    await one.query('BEGIN; LOCK TABLE tenants IN ACCESS EXCLUSIVE MODE');
    const error = await failureOf(other.query(`SET lock_timeout = '10ms'; LOCK TABLE tenants`));
    await one.query('ROLLBACK');
    expect(error).toMatchObject({ code: '55P03' });
    expect(isWorthRetrying(error)).toBe(true);
  });

  test.each([
    'SELECT 1 / 0',
    'SELEC',
    'SELECT nothing',
    'CREATE TABLE tenants ()',
    'CREATE ROLE r SUPERUSER',
  ])('%s is not', async (sql) => {
    const error = await failureOf(one.query(sql));
    expect(error).toBeInstanceOf(pg.DatabaseError);
    expect(isWorthRetrying(error)).toBe(false);
  });
});
