import type pg from 'pg';
import type { SqlSession } from '../core/ports.ts';
import { inTransaction as begin } from '../db/pg-transaction.ts';
import { sqlSession } from '../db/sql-session.ts';

/** Runs `work` in a transaction and commits it. */
export function inTransaction<T>(pool: pg.Pool, work: (sql: SqlSession) => Promise<T>): Promise<T> {
  return begin(pool, async (client) => {
    const result = await work(sqlSession(client));
    await client.query('COMMIT');
    return result;
  });
}

/** The same for statements that only look, at one moment: what a step did is there as a whole or not at all. */
export function inSnapshot<T>(pool: pg.Pool, work: (sql: SqlSession) => Promise<T>): Promise<T> {
  return inTransaction(pool, async (sql) => {
    await sql.query('SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY');
    return work(sql);
  });
}
