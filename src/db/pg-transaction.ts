import type pg from 'pg';

/**
 * Runs `work` in a transaction, which it commits itself, so that COMMIT can travel with its last statement. BEGIN travels
 * with its first one. When it throws, what it did is rolled back.
 */
export async function inTransaction<T>(
  pool: pg.Pool,
  work: (client: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const client = await pool.connect();
  let broken = false;
  try {
    const [, result] = await Promise.all([client.query('BEGIN'), work(client)]);
    return result;
  } catch (error) {
    await client.query('ROLLBACK; RESET ROLE; SELECT pg_advisory_unlock_all()').catch(() => {
      broken = true;
    });
    throw error;
  } finally {
    client.release(broken);
  }
}
