import { DomainError, UnavailableError } from '../core/errors.ts';
import { tlsRefusal } from './tls-refusal.ts';

// https://www.postgresql.org/docs/current/errcodes-appendix.html: connection exceptions, too many connections, a lock that
// is not to be had, shutdowns, a server that starts, a server without room.
const unavailableStates = /^(08...|53[0-9]..|55P03|57P0[0-5])$/;
const unavailableNodeCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
]);
// What pg and its pool throw without a code.
const unavailableMessages =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Client has encountered a connection error|Cannot use a pool after calling end|Client was closed|Unable to start a transaction|Transaction API error)/;

/** The error and everything that it was caused by; adapters wrap what the driver threw. */
function* causes(error: unknown): Generator<Record<string, unknown>> {
  let current: unknown = error;
  for (let depth = 0; depth < 6 && typeof current === 'object' && current !== null; depth++) {
    const record: Record<string, unknown> = { ...current, message: Reflect.get(current, 'message') };
    yield record;
    if (Array.isArray(record.errors)) for (const inner of record.errors) yield* causes(inner);
    const meta = record.meta;
    const wrapped =
      typeof meta === 'object' && meta !== null ? Reflect.get(meta, 'driverAdapterError') : undefined;
    current = wrapped ?? Reflect.get(current, 'cause');
  }
}

/** Whether the database, not the statement, is what failed. */
export function isUnavailable(error: unknown): boolean {
  for (const { code, originalCode, kind, message } of causes(error)) {
    if (tlsRefusal({ code, message }) !== null) return true;
    for (const state of [code, originalCode]) {
      if (typeof state === 'string' && (unavailableStates.test(state) || unavailableNodeCodes.has(state)))
        return true;
    }
    // Prisma: cannot reach, timed out reaching, closed by the server; no connection in time; no transaction in time.
    if (typeof code === 'string' && /^P(1001|1002|1008|1017|2024|2028)$/.test(code)) return true;
    if (kind === 'DatabaseNotReachable' || kind === 'ConnectionClosed' || kind === 'SocketTimeout')
      return true;
    if (typeof message === 'string' && unavailableMessages.test(message)) return true;
  }
  return false;
}

/** The name of the constraint that a statement violated, or null. */
export function violatedConstraint(error: unknown): string | null {
  for (const { code, constraint, kind } of causes(error)) {
    if (code === '23505' && typeof constraint === 'string') return constraint;
    if (kind === 'UniqueConstraintViolation') {
      const index =
        typeof constraint === 'object' && constraint !== null ? Reflect.get(constraint, 'index') : null;
      if (typeof index === 'string') return index;
    }
  }
  return null;
}

/** Whether PostgreSQL gave up on a transaction for the sake of another one, so that it may be run again. */
export function lostToAnother(error: unknown): boolean {
  for (const { code, kind } of causes(error)) {
    if (code === '40P01' || code === '40001' || kind === 'TransactionWriteConflict') return true;
  }
  return false;
}

/** Runs `work`; a database that cannot be reached becomes `UnavailableError`, everything else passes. */
export async function reachingDatabase<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof DomainError) && isUnavailable(error)) throw new UnavailableError({ cause: error });
    throw error;
  }
}
