import type pg from 'pg';

/**
 * Transaction ids per tenant that `work` uses up, when it makes so many tenants: what writes takes one, a savepoint with
 * writes another one.
 */
export async function writesOf<T>(
  client: pg.Client,
  tenants: number,
  work: () => Promise<T>,
): Promise<{ writes: number; result: T }> {
  const next = async () => {
    const { rows } = await client.query('SELECT pg_snapshot_xmax(pg_current_snapshot())::text AS id');
    return Number(rows[0].id);
  };
  const before = await next();
  const result = await work();
  return { writes: ((await next()) - before) / tenants, result };
}
