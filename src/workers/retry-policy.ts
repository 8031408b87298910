import { PermanentStepError } from './step.ts';

/**
 * What an SQLSTATE says about a second try, and why; a code counts before its class, its first two characters
 * (https://www.postgresql.org/docs/current/errcodes-appendix.html). What a statement did wrong it does wrong again;
 * what the server was short of, or somebody else held, may be there in a moment. Tries are few: what is not listed here
 * is tried again.
 */
const verdicts: ReadonlyMap<string, 'retry' | 'give up'> = new Map([
  ['08', 'retry'], // the connection broke, or a pooler has none to the server
  ['0A', 'give up'], // the server cannot do this at all
  ['21', 'give up'], // a migration: more rows than it reckoned with
  ['22', 'give up'], // a migration: values that do not fit, such as a division by zero
  ['23', 'give up'], // a migration: rows that break a constraint
  ['23505', 'retry'], // two runners for one row of a catalog, or of the ledger
  ['25', 'give up'], // a statement that cannot be in a transaction, in a file that is not marked so
  ['25006', 'retry'], // the server is a standby: a failover is under way
  ['25P03', 'retry'], // a time limit ended the session
  ['25P04', 'retry'], // a time limit ended the transaction
  ['28', 'give up'], // pg_hba.conf or the role forbids the login: the administrator's
  ['28P01', 'retry'], // a pooler may know the password from before; it asks again
  ['2B', 'give up'], // others depend on what is to be dropped
  ['2F', 'give up'], // a function of a migration: refused by what it was declared as
  ['38', 'give up'], // the same of an external one
  ['39', 'give up'], // and of its result
  ['3D', 'give up'], // there is no such database
  ['3F', 'give up'], // the schema is gone; a later step does not make it again
  ['40', 'retry'], // a deadlock or a serialization failure: rolled back for the sake of another transaction
  ['42', 'give up'], // wrong SQL, a lack of rights, a name that is missing or used
  ['42710', 'retry'], // a role made by a runner that was thought dead a moment ago: the next probe adopts it
  ['42P06', 'retry'], // the same of a schema
  ['44', 'give up'], // a migration: rows that a view does not take
  ['53', 'retry'], // connections, memory, locks or disk are short
  ['54', 'give up'], // a migration that is too large or too deep
  ['55', 'give up'], // an object in the wrong state, such as a new enum value used at once
  ['55006', 'retry'], // an object in use
  ['55P03', 'retry'], // a lock was not to be had in time
  ['57', 'retry'], // cancelled, timed out, or the server shuts down or starts
  ['58', 'retry'], // the operating system failed the server
  ['P0', 'give up'], // a migration refuses by itself: RAISE, ASSERT
  ['XX', 'retry'], // "tuple concurrently updated" on a catalog is XX000
  ['XX001', 'give up'], // damaged data does not mend itself
  ['XX002', 'give up'], // nor does an index
]);

/**
 * Whether a step that failed this way may succeed later. Without a verdict of PostgreSQL's it may: the network failed,
 * something took too long, or nobody knows.
 */
export function isWorthRetrying(error: unknown): boolean {
  const causes = causesOf(error);
  if (causes.some((cause) => cause instanceof PermanentStepError)) return false;
  const verdict = causes.map(verdictOn).find((known) => known !== undefined);
  return verdict !== 'give up';
}

function verdictOn(error: Error): 'retry' | 'give up' | undefined {
  const state = sqlStateOf(error);
  return state === undefined ? undefined : (verdicts.get(state) ?? verdicts.get(state.slice(0, 2)));
}

/** What PostgreSQL says that is wrong, when it is the one who says it: five characters, the first two being the class. */
export function sqlStateOf(error: Error): string | undefined {
  const state: unknown = Reflect.get(error, 'code');
  return typeof state === 'string' && /^[0-9A-Z]{5}$/.test(state) && state !== 'EPIPE' ? state : undefined;
}

/** The error and what it was caused by, the outermost first. */
export function causesOf(error: unknown): readonly Error[] {
  const causes = new Set<Error>();
  for (let cause = error; cause instanceof Error && !causes.has(cause); cause = cause.cause)
    causes.add(cause);
  return [...causes];
}
