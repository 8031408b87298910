import { expect } from 'vitest';
import type { TenantNames } from '../../src/workers/tenant-names.ts';
import type { Session } from '../workers/worker-app.ts';

/** A tenant that logs in somewhere: at the database, or at a pooler in front of it. */
export interface LeakSubject {
  readonly names: TenantNames;
  /** A new session as the tenant's login `user`. */
  login(): Promise<Session>;
  readonly user: string;
}

const rounds = 3;

/**
 * Two tenants take turns, a transaction each, on sessions that stay open. Each leaves behind whatever a session can keep,
 * and looks for what the other one left. Throws unless each sees its own rows and schema, and nothing of the other.
 * @param betweenTurns called after every transaction
 */
export async function expectNoLeak(
  tenants: readonly [LeakSubject, LeakSubject],
  betweenTurns: () => Promise<void> = async () => {},
): Promise<void> {
  await using stack = new AsyncDisposableStack();
  const players = [];
  for (const [index, tenant] of tenants.entries()) {
    const other = tenants[1 - index] ?? tenant;
    players.push({ tenant, other, tag: `tag${index}`, session: stack.use(await tenant.login()) });
  }
  for (let round = 0; round < rounds; round++) {
    for (const { session, tag } of players) {
      await inTransaction(session, () => leaveTraces(session, tag, round));
      await betweenTurns();
    }
    for (const { session, tenant, other, tag } of players) {
      const seen = await inTransaction(session, () => look(session));
      await betweenTurns();
      expect(seen).toMatchObject({
        sessionUser: tenant.user,
        currentUser: tenant.user,
        schemas: `{${tenant.names.schema}}`,
        names: Array(round + 1).fill(tag),
      });
      const foreign = tag === 'tag0' ? 'tag1' : 'tag0';
      expect(JSON.stringify(seen)).not.toContain(foreign);
      for (const reach of reaching(other)) {
        await expect(
          inTransaction(session, () => session.query(reach)),
          reach,
        ).rejects.toMatchObject({ code: '42501' });
        await betweenTurns();
      }
    }
  }
}

/** A row, and what a session keeps behind a transaction. */
async function leaveTraces(session: Session, tag: string, round: number): Promise<void> {
  const trace = `${tag}_${round}`;
  await session.query(`
    INSERT INTO users (email, display_name) VALUES ('${trace}@tenant.example', '${tag}');
    SET leak.secret = '${tag}';
    CREATE TEMPORARY TABLE temporary_${trace} AS SELECT '${tag}' AS tag;
    PREPARE prepared_${trace} AS SELECT '${tag}';
    DECLARE cursor_${trace} CURSOR WITH HOLD FOR SELECT '${tag}';
    LISTEN channel_${tag};
    SELECT pg_advisory_lock(${tag === 'tag0' ? 100 : 200} + ${round})`);
}

async function look(session: Session): Promise<Record<string, unknown> | undefined> {
  const [seen] = await session.query(`
    SELECT
      session_user::text AS "sessionUser",
      current_user::text AS "currentUser",
      current_schemas(false)::text AS schemas,
      (SELECT json_agg(display_name) FROM users) AS names,
      current_setting('leak.secret', true) AS setting,
      (SELECT json_agg(relname) FROM pg_class WHERE relnamespace = pg_my_temp_schema()) AS temporary,
      (SELECT json_agg(name) FROM pg_prepared_statements) AS prepared,
      (SELECT json_agg(name) FROM pg_cursors WHERE is_holdable) AS cursors,
      (SELECT json_agg(channel) FROM pg_listening_channels() AS channel) AS channels,
      (SELECT json_agg('tag' || objid::int / 100 - 1) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks,
      (SELECT json_agg(query) FROM pg_stat_activity WHERE usename <> session_user) AS queries`);
  return seen;
}

/** What must be refused for want of a right: the other one's rows, its roles, and the registry. */
function reaching({ names, user }: LeakSubject): readonly string[] {
  return [
    `SELECT FROM ${names.schema}.users`,
    `CREATE TABLE ${names.schema}.mine ()`,
    `SET LOCAL ROLE ${user}`,
    `SET LOCAL ROLE ${names.owner}`,
    'SELECT FROM public.tenants',
    'CREATE TABLE public.mine ()',
  ];
}

async function inTransaction<T>(session: Session, work: () => Promise<T>): Promise<T> {
  await session.query('BEGIN');
  try {
    return await work();
  } finally {
    await session.query('COMMIT');
  }
}
