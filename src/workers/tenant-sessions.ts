import type { SqlSession } from '../core/ports.ts';
import { StepError } from './step.ts';

/** The logins between two names, both included, that carry a tenant's mark. */
export interface MarkedLogins {
  readonly first: string;
  readonly last: string;
  readonly mark: string;
}

const sessions = `
FROM pg_stat_activity WHERE usesysid IN (
  SELECT oid FROM pg_roles WHERE rolname BETWEEN $1::name AND $2::name AND shobj_description(oid, 'pg_authid') = $3
)`;

/**
 * Ends the sessions of these logins. New ones must have been forbidden before, in a transaction that is committed.
 * @throws {StepError} when one does not end
 */
export async function endSessions(sql: SqlSession, { first, last, mark }: MarkedLogins): Promise<void> {
  await sql.query(`SELECT pg_terminate_backend(pid, 5000) ${sessions}`, [first, last, mark]);
  // What a transaction has seen of the sessions once, it goes on seeing.
  await sql.query('SELECT pg_stat_clear_snapshot()');
  const left = await sql.query(`SELECT ${sessions}`, [first, last, mark]);
  if (left.length > 0) throw new StepError('not every session of the tenant could be ended');
}
