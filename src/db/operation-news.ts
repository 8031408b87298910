import { selectList } from './rows.ts';
import { operationTask } from './start-operation.ts';

export interface OperationNews {
  /** Assignments to the tenant's columns; `previous` is its operation as it was. */
  readonly tenant?: string;
  /** Assignments to the operation's columns. */
  readonly operation: string;
  /** When the operation may be changed; else the statement answers nothing, and its transaction is to be rolled back. */
  readonly condition?: string;
  /** Which steps are as if they had never been run; `o` is the operation as it is now. */
  readonly resetSteps: string;
  /** What watchers are told; no quotes in it. */
  readonly message: string;
  /** Queues the operation's job; its key is the statement's second parameter. */
  readonly withJob?: boolean;
}

const itsTenant = 'previous.id = $1::uuid AND tenants.id = previous.tenant_id';

/**
 * SQL that changes an operation as a whole ($1 is its id) and tells it by an event: one statement that answers tenant,
 * operation and event. The tenant's row is locked first and the operation's second, as everywhere.
 */
export function operationNewsSql({
  tenant,
  operation,
  condition = 'true',
  resetSteps,
  message,
  withJob = false,
}: OperationNews): string {
  return `
WITH t AS (
  ${
    tenant === undefined
      ? `SELECT tenants.* FROM tenants, operations AS previous WHERE ${itsTenant} FOR NO KEY UPDATE OF tenants`
      : `UPDATE tenants SET ${tenant} FROM operations AS previous WHERE ${itsTenant} RETURNING tenants.*`
  }
),
o AS (
  UPDATE operations SET last_sequence = last_sequence + 1, ${operation}
  FROM t WHERE operations.id = $1::uuid AND ${condition} RETURNING operations.*
),
s AS (
  UPDATE operation_steps SET status = 'PENDING', started_at = NULL, finished_at = NULL, error = NULL
  FROM o WHERE operation_steps.operation_id = o.id AND (${resetSteps})
),
steps AS (
  SELECT coalesce(min(position) FILTER (WHERE status <> 'SUCCESS'), count(*)) AS completed, count(*) AS total,
         coalesce(min(position) FILTER (WHERE status <> 'SUCCESS'), max(position)) AS present
  FROM operation_steps WHERE operation_id = $1::uuid
),
e AS (
  INSERT INTO provisioning_events
    (tenant_id, sequence, operation_id, kind, operation_state, step, status, completed_steps, total_steps, message, tenant_status, created_at)
  SELECT t.id, o.last_sequence, o.id, o.kind, o.state, step.name, 'PENDING', steps.completed, steps.total, '${message}', t.status, clock_timestamp()
  FROM t, o, steps JOIN operation_steps AS step ON step.operation_id = $1::uuid AND step.position = steps.present
  RETURNING *
),
j AS (
  SELECT ${withJob ? `(graphile_worker.add_job('${operationTask}', json_build_object('operationId', o.id), job_key => $2::text)).id` : '1'} FROM o
)
SELECT ${selectList('tenant', 't')}, ${selectList('operation', 'o')}, ${selectList('event', 'e')}
FROM t, o, e, j`;
}
