import { SealedValueError } from '../core/errors.ts';
import { causesOf, sqlStateOf } from './retry-policy.ts';
import { StepError } from './step.ts';

const longest = 500;

/** Classes and codes of SQLSTATE whose messages quote the names of objects, not values. A code counts before its class. */
const quotingNames: ReadonlyMap<string, boolean> = new Map([
  ['23', true], // constraints
  ['25', true],
  ['2B', true],
  ['3D', true],
  ['3F', true],
  ['40', true],
  ['42', true],
  ['42601', false], // a syntax error quotes what it met
  ['55', true],
]);

/**
 * Why a step failed, in a line of at most 500 characters that every viewer may read. What we say ourselves is said, and
 * what PostgreSQL says without the values in it; of everything else nothing: it may hold the addresses of people and
 * machines, and secrets. The log has it all.
 */
export function reasonOf(error: unknown): string {
  const causes = causesOf(error);
  const own = causes.find((cause) => cause instanceof StepError || cause instanceof SealedValueError);
  if (own) return oneLine(own.message);
  for (const cause of causes) {
    const state = sqlStateOf(cause);
    if (state !== undefined) return oneLine(saidByPostgres(state, cause.message)).replaceAll(/\S+@\S+/g, '…');
  }
  return causes.some(isNetworkFailure)
    ? 'the database could not be reached'
    : 'the step failed for a reason that only the log of the worker tells';
}

function saidByPostgres(state: string, message: string): string {
  // RAISE and ASSERT say what they like.
  if (state.startsWith('P0')) return `the migration refused by itself (SQLSTATE ${state})`;
  if (quotingNames.get(state) ?? quotingNames.get(state.slice(0, 2))) return message;
  // From the first quote to the last, in whatever language: a value may have some of its own.
  return message.replace(/["'«»„“”].*["'«»„“”]/s, '"…"');
}

function isNetworkFailure(error: Error): boolean {
  const code: unknown = Reflect.get(error, 'code');
  if (typeof code === 'string' && /^E[A-Z_]+$/.test(code)) return true;
  // What pg and its pool throw without a code.
  return /^(Connection terminated|timeout exceeded when trying to connect|Client was closed)/.test(
    error.message,
  );
}

function oneLine(text: string): string {
  const line = text.replaceAll(/[\p{Cc}\s]+/gu, ' ').trim();
  return line.length <= longest ? line : `${line.slice(0, longest - 1).toWellFormed()}…`;
}
