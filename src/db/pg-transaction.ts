import type pg from 'pg';

/**
 * Runs `work` in a transaction, which it commits itself, so that COMMIT can travel with its last statement. BEGIN travels
 * with its first one. When it throws, what it did is rolled back.
 */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  using connection = holdConnection(pool);
  return await connection.inTransaction(work);
}

/** A connection of a pool for transactions that follow each other. */
export interface HeldConnection extends Disposable {
  /** As {@link inTransaction}. */
  inTransaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T>;
}

/**
 * Holds a connection from the first transaction on, until it is disposed of: what the server has looked up for one
 * transaction is at hand in the next. One that breaks is replaced by the next transaction.
 */
export function holdConnection(pool: pg.Pool): HeldConnection {
  let client: pg.PoolClient | undefined;
  const letGo = (broken: boolean) => {
    client?.release(broken);
    client = undefined;
  };
  return {
    async inTransaction(work) {
      client ??= await pool.connect();
      try {
        const [, result] = await Promise.all([client.query('BEGIN'), work(client)]);
        return result;
      } catch (error) {
        await client.query('ROLLBACK; RESET ROLE; SELECT pg_advisory_unlock_all()').catch(() => letGo(true));
        throw error;
      }
    },
    [Symbol.dispose]: () => letGo(false),
  };
}
