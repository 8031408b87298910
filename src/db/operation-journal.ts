import type pg from 'pg';
import type { ProvisioningEvent } from '../core/model.ts';
import {
  FencedOffError,
  type OperationJournal,
  type SqlSession,
  type TakenOperation,
} from '../core/ports.ts';
import { readEvent, readOperation, type SqlRow, selectList } from './rows.ts';
import { jobKey, operationTask } from './start-operation.ts';

const takeSql = `
WITH o AS (
  UPDATE operations
  SET state = 'RUNNING', fence = fence + 1, attempt = attempt + 1, next_attempt_at = NULL,
      started_at = coalesce(started_at, clock_timestamp()), lease_until = clock_timestamp() + $2 * interval '1 millisecond'
  WHERE id = $1::uuid AND state IN ('PENDING', 'RUNNING')
    AND (lease_until IS NULL OR lease_until < clock_timestamp())
    AND (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp())
  RETURNING *
)
SELECT ${selectList('operation', 'o')},
  (SELECT json_agg(json_build_object('position', position, 'name', name, 'done', status = 'SUCCESS') ORDER BY position)
   FROM operation_steps WHERE operation_id = o.id) AS steps
FROM o`;

const renewSql = `
UPDATE operations SET lease_until = clock_timestamp() + $3 * interval '1 millisecond'
WHERE id = $1::uuid AND fence = $2 AND state = 'RUNNING'`;

/**
 * One step's news: the tenant's next sequence, the operation under its fence, the step, the event. The tenant's row
 * is locked first and the operation's second, as everywhere; the step's own work comes before both, or it would block
 * the lease's renewal.
 *
 * Parameters: operation, fence, position, step status, operation state, message, retry in milliseconds.
 */
const tellSql = `
WITH t AS (
  UPDATE tenants
  SET last_sequence = last_sequence + 1,
      status = CASE WHEN $5::operation_state = 'FAILED' AND operations.kind = 'PROVISION' THEN 'ERROR' ELSE status END
  FROM operations WHERE operations.id = $1::uuid AND tenants.id = operations.tenant_id
  RETURNING tenants.id, tenants.last_sequence, tenants.status
),
o AS (
  UPDATE operations
  SET state = $5::operation_state,
      error = CASE WHEN $4::step_status = 'FAILED' THEN $6 END,
      next_attempt_at = clock_timestamp() + $7::float8 * interval '1 millisecond',
      lease_until = CASE WHEN $5::operation_state = 'RUNNING' THEN lease_until END,
      finished_at = CASE WHEN $5::operation_state IN ('SUCCEEDED', 'FAILED') THEN clock_timestamp() END
  FROM t
  WHERE operations.id = $1::uuid AND operations.fence = $2 AND operations.state = 'RUNNING'
  RETURNING operations.*
),
s AS (
  UPDATE operation_steps
  SET status = $4::step_status,
      started_at = CASE WHEN $4::step_status = 'IN_PROGRESS' THEN clock_timestamp() ELSE coalesce(operation_steps.started_at, clock_timestamp()) END,
      finished_at = CASE WHEN $4::step_status <> 'IN_PROGRESS' THEN clock_timestamp() END,
      error = CASE WHEN $4::step_status = 'FAILED' THEN $6 END
  FROM o WHERE operation_steps.operation_id = o.id AND operation_steps.position = $3
  RETURNING operation_steps.name
),
e AS (
  INSERT INTO provisioning_events
    (tenant_id, sequence, operation_id, kind, operation_state, step, status, completed_steps, total_steps, message, tenant_status, created_at)
  SELECT t.id, t.last_sequence, o.id, o.kind, o.state, s.name, $4::step_status,
         $3 + CASE WHEN $4::step_status = 'SUCCESS' THEN 1 ELSE 0 END,
         (SELECT count(*) FROM operation_steps WHERE operation_id = o.id), $6, t.status, clock_timestamp()
  FROM t, o, s
  RETURNING *
)
SELECT ${selectList('event', 'e')} FROM e`;

// At the very moment from which the operation may be taken: a job that came earlier would find nothing to do.
const retrySql = `
SELECT graphile_worker.add_job('${operationTask}', json_build_object('operationId', id),
  run_at => next_attempt_at, job_key => $2)
FROM operations WHERE id = $1::uuid`;

// A worker that died keeps its job locked for four hours. Its lease runs out in seconds: then the job is freed, or
// added where the queue has none.
const reviveSql = `
WITH lost AS (
  SELECT id, 'operation:' || id AS key FROM operations
  WHERE state IN ('PENDING', 'RUNNING')
    AND coalesce(lease_until, coalesce(next_attempt_at, created_at) + $1 * interval '1 millisecond') < clock_timestamp()
),
queued AS (
  SELECT jobs.key, jobs.locked_by FROM graphile_worker.jobs JOIN lost USING (key)
  WHERE locked_by IS NOT NULL OR attempts < max_attempts
),
freed AS (
  SELECT graphile_worker.force_unlock_workers(array_agg(locked_by)) FROM queued WHERE locked_by IS NOT NULL HAVING count(*) > 0
),
added AS (
  SELECT (graphile_worker.add_job('${operationTask}', json_build_object('operationId', lost.id), job_key => lost.key)).id
  FROM lost WHERE NOT EXISTS (SELECT FROM queued WHERE queued.key = lost.key)
)
SELECT (SELECT count(*) FROM added) + (SELECT count(*) FROM queued WHERE locked_by IS NOT NULL) + 0 * (SELECT count(*) FROM freed) AS revived`;

// A job that is added anew replaces one that runs, or that has run too often: the old one loses its key and never runs
// again. Its worker removes it; where that died first, or there is none, nobody else does.
const supersededSql = `
SELECT id, locked_by FROM graphile_worker.jobs
WHERE task_identifier = '${operationTask}' AND key IS NULL
  AND (locked_at IS NULL OR locked_at < clock_timestamp() - $1 * interval '1 millisecond')`;

export interface OperationJournalOptions {
  readonly pool: pg.Pool;
  /** How long a runner may be silent before another one takes its operation, milliseconds. */
  readonly leaseMs: number;
}

/** The journal on PostgreSQL. */
export function createOperationJournal({ pool, leaseMs }: OperationJournalOptions): OperationJournal {
  async function inTransaction<T>(work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    const client = await pool.connect();
    let broken = false;
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK').catch(() => {
        broken = true;
      });
      throw error;
    } finally {
      client.release(broken);
    }
  }

  async function tell(
    client: pg.PoolClient,
    { operation: { id, fence } }: TakenOperation,
    news: {
      readonly position: number;
      readonly step: 'IN_PROGRESS' | 'SUCCESS' | 'FAILED';
      readonly operation: 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED';
      readonly message?: string;
      readonly retryInMs?: number;
    },
  ): Promise<ProvisioningEvent> {
    const { position, step, operation, message = null, retryInMs = null } = news;
    const { rows } = await client.query<SqlRow>(tellSql, [
      id,
      fence,
      position,
      step,
      operation,
      message,
      retryInMs,
    ]);
    const [row] = rows;
    if (row === undefined) throw new FencedOffError(`operation ${id} is no longer held under fence ${fence}`);
    return readEvent(row);
  }

  return {
    async take(operationId) {
      const { rows } = await pool.query<SqlRow>(takeSql, [operationId, leaseMs]);
      const [row] = rows;
      if (row === undefined) return null;
      return { operation: readOperation(row), steps: row.steps as TakenOperation['steps'] };
    },
    async renew({ operation: { id, fence } }) {
      const { rowCount } = await pool.query(renewSql, [id, fence, leaseMs]);
      return rowCount === 1;
    },
    begin: (taken, position) =>
      inTransaction((client) => tell(client, taken, { position, step: 'IN_PROGRESS', operation: 'RUNNING' })),
    perform: (taken, position, work) =>
      inTransaction(async (client) => {
        await work(sqlSession(client));
        const last = position === taken.steps.length - 1;
        return tell(client, taken, { position, step: 'SUCCESS', operation: last ? 'SUCCEEDED' : 'RUNNING' });
      }),
    fail: (taken, position, reason, retryInMs) =>
      inTransaction(async (client) => {
        const { id } = taken.operation;
        if (retryInMs === null) {
          return tell(client, taken, { position, step: 'FAILED', operation: 'FAILED', message: reason });
        }
        const event = await tell(client, taken, {
          position,
          step: 'FAILED',
          operation: 'PENDING',
          message: reason,
          retryInMs,
        });
        await client.query(retrySql, [id, jobKey(id)]);
        return event;
      }),
    async revive() {
      const { rows } = await pool.query<{ revived: string }>(reviveSql, [leaseMs]);
      const superseded = await pool.query<{ id: string; locked_by: string | null }>(supersededSql, [leaseMs]);
      if (superseded.rows.length > 0) {
        const of = <K extends 'id' | 'locked_by'>(column: K) => superseded.rows.map((row) => row[column]);
        await pool.query('SELECT graphile_worker.force_unlock_workers($1)', [of('locked_by')]);
        await pool.query('SELECT graphile_worker.complete_jobs($1)', [of('id')]);
      }
      return Number(rows[0]?.revived ?? 0);
    },
  };
}

function sqlSession(client: pg.PoolClient): SqlSession {
  return {
    async query(sql, values) {
      return (await client.query<SqlRow>(sql, values ? [...values] : undefined)).rows;
    },
  };
}
