import type pg from 'pg';
import type { SqlSession } from '../core/ports.ts';
import type { SqlRow } from './rows.ts';

/** A connection, or a pool whose statements need nothing of each other, as the domain knows it. */
export function sqlSession(client: Pick<pg.Pool | pg.PoolClient, 'query'>): SqlSession {
  return {
    async query(sql, values) {
      return (await client.query<SqlRow>(sql, values ? [...values] : undefined)).rows;
    },
  };
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
