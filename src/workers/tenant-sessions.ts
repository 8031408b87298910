import type { SqlSession } from '../core/ports.ts';
import { StepError } from './step.ts';

/** The logins between two names, both included, that carry a tenant's mark. */
export interface MarkedLogins {
  readonly first: string;
  readonly last: string;
  readonly mark: string;
}

const logins = `(
  SELECT oid FROM pg_roles WHERE rolname BETWEEN $1::name AND $2::name AND shobj_description(oid, 'pg_authid') = $3
)`;

// On PostgreSQL 14 who is logged in may grant himself, and so lend his rights for longer than he has them. Since 16 it is
// the administrators of a role who are members of it.
const grantedSql = `
SELECT string_agg(format('REVOKE %s FROM %s', roleid::regrole, member::regrole), '; ') AS "takeBack"
FROM pg_auth_members WHERE roleid IN ${logins} AND current_setting('server_version_num')::int < 160000`;

const sessions = `FROM pg_stat_activity WHERE usesysid IN ${logins}`;

/** Ends the sessions that these logins have now, each within five seconds. */
export async function terminate(sql: SqlSession, { first, last, mark }: MarkedLogins): Promise<void> {
  await sql.query(`SELECT pg_terminate_backend(pid, 5000) ${sessions}`, [first, last, mark]);
}

/**
 * Ends the sessions of these logins, and takes them away from whom they were granted to. New sessions must have been
 * forbidden before, in a transaction that is committed.
 * @throws {StepError} when one does not end
 */
export async function endSessions(sql: SqlSession, marked: MarkedLogins): Promise<void> {
  const which = [marked.first, marked.last, marked.mark];
  const [, , left, [granted]] = await Promise.all([
    terminate(sql, marked),
    // What a transaction has seen of the sessions once, it goes on seeing.
    sql.query('SELECT pg_stat_clear_snapshot()'),
    sql.query(`SELECT ${sessions}`, which),
    sql.query(grantedSql, which),
  ]);
  if (typeof granted?.takeBack === 'string') await sql.query(granted.takeBack);
  if (left.length > 0) throw new StepError('not every session of the tenant could be ended');
}
