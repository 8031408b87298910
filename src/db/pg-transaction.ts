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

/** After so long without a transaction a held connection may be dead, and nobody would have told, milliseconds. */
const staleMs = 10_000;

/**
 * Holds a connection from the first transaction on, until it is disposed of: what the server has looked up for one
 * transaction is at hand in the next. Behind a transaction that finds it broken there is another one, and so there is
 * when it has not been used for long. Transactions follow each other.
 */
export function holdConnection(pool: pg.Pool): HeldConnection {
  let client: pg.PoolClient | undefined;
  let usedAt = 0;
  const letGo = (broken: boolean) => {
    client?.release(broken);
    client = undefined;
  };
  return {
    async inTransaction(work) {
      if (performance.now() - usedAt > staleMs) letGo(true);
      client ??= await pool.connect();
      try {
        const [, result] = await Promise.all([client.query('BEGIN'), work(client)]);
        return result;
      } catch (error) {
        await client.query('ROLLBACK; RESET ROLE; SELECT pg_advisory_unlock_all()').catch(() => letGo(true));
        throw error;
      } finally {
        usedAt = performance.now();
      }
    },
    [Symbol.dispose]: () => letGo(false),
  };
}
