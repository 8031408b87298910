import type pg from 'pg';

/** The operations that are not done, in the whole registry. */
export interface JobStatistics {
  /** Wait for a worker, or for their next try. */
  readonly ready: number;
  readonly running: number;
  /** Given up, and followed by no other operation. */
  readonly failed: number;
  /** How long ago the oldest one that is ready or running was accepted, seconds; 0 without one. */
  readonly oldestSeconds: number;
}

// Both parts read a partial index, however many operations have ended well: operations_unfinished_key and
// operations_failed_idx. Their conditions are to be written like those of the indexes.
const statisticsSql = `
SELECT ready, running, failed, "oldestSeconds"
FROM (
  SELECT (count(*) FILTER (WHERE state = 'PENDING'))::float8 AS ready,
         (count(*) FILTER (WHERE state = 'RUNNING'))::float8 AS running,
         coalesce(greatest(extract(epoch FROM clock_timestamp() - min(created_at)), 0), 0)::float8 AS "oldestSeconds"
  FROM operations WHERE state IN ('PENDING', 'RUNNING')
) AS unfinished, (
  SELECT count(*)::float8 AS failed
  FROM operations JOIN tenants ON tenants.id = operations.tenant_id
  WHERE operations.state = 'FAILED' AND tenants.operation_id = operations.id
) AS given_up`;

/** Counts the operations that are not done; all of one moment. */
export async function readJobStatistics(pool: pg.Pool): Promise<JobStatistics> {
  const { rows } = await pool.query<JobStatistics>(statisticsSql);
  const [row] = rows;
  if (row === undefined) throw new Error('the statistics of the jobs are empty');
  return row;
}
