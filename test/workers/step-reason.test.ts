import fc from 'fast-check';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MissingKeyError } from '../../src/db/key-ring.ts';
import { PermanentStepError, StepError } from '../../src/workers/step.ts';
import { reasonOf } from '../../src/workers/step-reason.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { connect, type Session } from './worker-app.ts';

const onlyInLog = 'the step failed for a reason that only the log of the worker tells';
const unreachable = 'the database could not be reached';
const withCode = (message: string, code: string) => Object.assign(new Error(message), { code });

test.each<[string, unknown, string]>([
  ['what a step says', new StepError('it is not so'), 'it is not so'],
  ['what it says for good', new PermanentStepError('it is foreign'), 'it is foreign'],
  ['which encryption key is missing', new MissingKeyError('k1'), new MissingKeyError('k1').message],
  ['the one behind a wrapper', new Error('secret', { cause: new StepError('it is not so') }), 'it is not so'],
  ['a line, whatever it is', new StepError(' two\r\nlines\u0007 '), 'two lines'],
  ['at most 500 characters', new StepError('🐘'.repeat(400)), `${'🐘'.repeat(249)}\uFFFD…`],
  ['nothing of an unknown error', new Error('password=hunter2 for ada@example.com at 10.0.0.7'), onlyInLog],
  ['nothing of what is no error', 'ada@example.com', onlyInLog],
  ['no address', withCode('connect ECONNREFUSED 10.0.0.7:5432', 'ECONNREFUSED'), unreachable],
  ['no host', withCode('getaddrinfo ENOTFOUND db.internal', 'ENOTFOUND'), unreachable],
  ['a broken pipe', withCode('write EPIPE', 'EPIPE'), unreachable],
  ['a lost connection', new Error('Connection terminated unexpectedly'), unreachable],
  [
    'no address of a refused login',
    withCode('no pg_hba.conf entry for host "10.0.0.7", user "admin"', '28000'),
    'no pg_hba.conf entry for host "…"',
  ],
  [
    'no path',
    withCode('could not open file "/var/lib/x": No space left', '58P02'),
    'could not open file "…": No space left',
  ],
  [
    'no value in another language',
    withCode('ungültiger Wert: »ada@example.com«', '22P02'),
    'ungültiger Wert: "…"',
  ],
  [
    'no address that stands for a name',
    withCode('column "ada@example.com" does not exist', '42703'),
    'column … does not exist',
  ],
])('the reason is %s', (_, error, reason) => {
  expect(reasonOf(error)).toBe(reason);
});

describe('of what PostgreSQL refuses, the reason names', () => {
  let database: TestDatabase;
  let session: Session;
  beforeAll(async () => {
    database = await createTestDatabase();
    session = await connect(database.settings);
    await session.query('CREATE TABLE people (email text PRIMARY KEY, age int CHECK (age > 0))');
  });
  afterAll(async () => {
    await session?.[Symbol.asyncDispose]();
    await database?.[Symbol.asyncDispose]();
  });

  test.each<[string, string, string]>([
    ['a table', 'TABLE nothing', 'relation "nothing" does not exist'],
    ['a column', 'SELECT nothing FROM people', 'column "nothing" does not exist'],
    [
      'a constraint',
      `INSERT INTO people VALUES ('ada@example.com', -1)`,
      'new row for relation "people" violates check constraint "people_age_check"',
    ],
    ['a plain mistake', 'SELECT 1 / 0', 'division by zero'],
    ['no value', `SELECT 'ada@example.com'::int`, 'invalid input syntax for type integer: "…"'],
    ['no value with quotes', `SELECT 'a"b"c@example.com'::int`, 'invalid input syntax for type integer: "…"'],
    ['no text of the file', `SELECT 'a' 'hunter2'`, 'syntax error at or near "…"'],
    [
      'nothing that a migration raises',
      `DO $$ BEGIN RAISE 'ada@example.com'; END $$`,
      'the migration refused by itself (SQLSTATE P0001)',
    ],
  ])('%s', async (_, sql, reason) => {
    const error = await session.query(sql).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(pg.DatabaseError);
    expect(reasonOf(error)).toBe(reason);
  });
});

test('a value in quotes stays hidden, whatever it holds', () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      const error = withCode(`invalid input syntax for type integer: "${value}"`, '22P02');
      expect(reasonOf(error)).toBe('invalid input syntax for type integer: "…"');
    }),
  );
});
