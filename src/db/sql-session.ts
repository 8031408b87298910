import type pg from 'pg';
import type { SharedSession, SqlSession } from '../core/ports.ts';
import type { SqlRow } from './rows.ts';
import { sessionSettings } from './session-settings.ts';

/** A connection, or a pool whose statements need nothing of each other, as the domain knows it. */
export function sqlSession(client: Pick<pg.Pool | pg.PoolClient, 'query'>): SqlSession {
  return {
    async query(sql, values) {
      const statement = values === undefined ? sql : { name: nameOf(sql), text: sql, values: [...values] };
      return (await client.query<SqlRow>(statement)).rows;
    },
  };
}

/** The same for a connection that goes back to its pool, with the statements of which the end is yet to be awaited. */
export function sharedSession(client: pg.PoolClient): SharedSession & { readonly sent: Promise<unknown>[] } {
  const session = sqlSession(client);
  const sent: Promise<unknown>[] = [];
  const send = (sql: string, values?: readonly unknown[]) => {
    const sending = session.query(sql, values);
    // It is awaited at the end of the transaction, if that is reached.
    sending.catch(() => {});
    sent.push(sending);
  };
  return {
    ...session,
    sent,
    send,
    reset: () =>
      send(`RESET ROLE; RESET ALL; DISCARD TEMP; SELECT pg_advisory_unlock_all(); ${sessionSettings()}`),
  };
}

const names = new Map<string, string>();

/** Steps ask the same few questions for each tenant: those with parameters are prepared once per connection. */
function nameOf(sql: string): string {
  const name = names.get(sql) ?? `session_${names.size}`;
  names.set(sql, name);
  return name;
}

/** Runs `work` on a connection that is closed behind it, whatever its state: role, settings, locks. */
export async function withOwnSession(
  pool: pg.Pool,
  work: (session: SqlSession) => Promise<void>,
): Promise<void> {
  const client = await pool.connect();
  try {
    await work(sqlSession(client));
  } finally {
    client.release(true);
  }
}
