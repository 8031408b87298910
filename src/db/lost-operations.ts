import type pg from 'pg';
import { operationTask } from './start-operation.ts';

// A worker that died keeps its job locked for four hours. Its lease runs out in seconds: then the job is freed, or
// added where the queue has none.
const reviveSql = `
WITH lost AS (
  SELECT id, 'operation:' || id AS key FROM operations
  WHERE state IN ('PENDING', 'RUNNING')
    AND coalesce(lease_until, coalesce(next_attempt_at, created_at) + $1 * interval '1 millisecond') < clock_timestamp()
),
queued AS (
  SELECT jobs.key, CASE WHEN locked_at < clock_timestamp() - $1 * interval '1 millisecond' THEN locked_by END AS dead
  FROM graphile_worker.jobs JOIN lost USING (key)
  -- One that the queue itself put off, because its handler failed, is as good as none.
  WHERE locked_by IS NOT NULL OR (attempts < max_attempts AND run_at <= clock_timestamp())
),
freed AS (
  SELECT graphile_worker.force_unlock_workers(array_agg(dead)) FROM queued WHERE dead IS NOT NULL HAVING count(*) > 0
),
added AS (
  SELECT (graphile_worker.add_job('${operationTask}', json_build_object('operationId', lost.id), job_key => lost.key)).id
  FROM lost WHERE NOT EXISTS (SELECT FROM queued WHERE queued.key = lost.key)
)
SELECT (SELECT count(*) FROM added) + (SELECT count(*) FROM queued WHERE dead IS NOT NULL) + 0 * (SELECT count(*) FROM freed) AS revived`;

// A job that is added anew replaces one that runs, or that has run too often: the old one loses its key and never runs
// again. Its worker removes it, as it does the job of an operation that is finished; where that died first, or there is
// none, nobody else does.
const supersededSql = `
SELECT jobs.id, locked_by FROM graphile_worker.jobs
LEFT JOIN operations ON operations.id = CASE task_identifier WHEN '${operationTask}' THEN substr(key, length('operation:') + 1)::uuid END
WHERE task_identifier = '${operationTask}'
  AND (key IS NULL OR finished_at < clock_timestamp() - $1 * interval '1 millisecond')
  AND (locked_at IS NULL OR locked_at < clock_timestamp() - $1 * interval '1 millisecond')`;

/**
 * Queues the operations again whose runner is silent for longer than its lease, and clears away what dead workers left in
 * the queue.
 * @returns how many operations
 */
export async function reviveLostOperations(pool: pg.Pool, leaseMs: number): Promise<number> {
  const { rows } = await pool.query<{ revived: string }>(reviveSql, [leaseMs]);
  const superseded = await pool.query<{ id: string; locked_by: string | null }>(supersededSql, [leaseMs]);
  if (superseded.rows.length > 0) {
    const of = <K extends 'id' | 'locked_by'>(column: K) => superseded.rows.map((row) => row[column]);
    await pool.query('SELECT graphile_worker.force_unlock_workers($1)', [of('locked_by')]);
    await pool.query('SELECT graphile_worker.complete_jobs($1)', [of('id')]);
  }
  return Number(rows[0]?.revived ?? 0);
}
