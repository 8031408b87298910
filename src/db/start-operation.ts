import type { StartableKind } from '../core/operation-steps.ts';
import { operationSteps } from '../core/operation-steps.ts';
import { selectList } from './rows.ts';

/** The name of the queue's task that runs an operation; its payload is `{ operationId }`. */
export const operationTask = 'operation';

/** One job per operation: adding it again moves it. */
export function jobKey(operationId: string): string {
  return `operation:${operationId}`;
}

/**
 * SQL that stores an operation with its steps, its first event and its job, all of the tenant that the query
 * `tenantSql` answers (insert or update, `RETURNING *`). One statement, so one transaction and one round trip.
 *
 * `sequence` is the event's, an expression that may name the tenant, `t`. `extra` are further parts of the WITH clause,
 * each after a comma. Parameters from `first` on: operation id, kind, step names, job key; give them by
 * {@link startParameters}.
 */
export function startOperationSql(tenantSql: string, sequence: string, first: number, extra = ''): string {
  const [id, kind, steps, key] = [first, first + 1, first + 2, first + 3].map((n) => `$${n}`);
  return `
WITH t AS (${tenantSql}),
o AS (
  INSERT INTO operations (id, tenant_id, kind, last_sequence)
  SELECT ${id}::uuid, t.id, ${kind}::operation_kind, ${sequence} FROM t
  RETURNING *
),
s AS (
  INSERT INTO operation_steps (operation_id, position, name)
  SELECT ${id}::uuid, step.position - 1, step.name
  FROM o, unnest(${steps}::text[]) WITH ORDINALITY AS step (name, position)
),
e AS (
  INSERT INTO provisioning_events
    (tenant_id, sequence, operation_id, kind, operation_state, step, status, completed_steps, total_steps, tenant_status, created_at)
  SELECT t.id, o.last_sequence, o.id, o.kind, o.state, (${steps}::text[])[1], 'PENDING', 0, cardinality(${steps}::text[]), t.status, clock_timestamp()
  FROM t, o
  RETURNING *
),
j AS (
  -- The way of adding that costs least; it differs for keys that the queue has, and nobody has this one yet.
  SELECT (graphile_worker.add_job('${operationTask}', json_build_object('operationId', o.id), job_key => ${key}::text, job_key_mode => 'unsafe_dedupe')).id FROM o
)${extra}
SELECT ${selectList('tenant', 't')}, ${selectList('operation', 'o')}, ${selectList('event', 'e')} FROM t, o, e, j`;
}

export function startParameters(operationId: string, kind: StartableKind): readonly unknown[] {
  return [operationId, kind, operationSteps[kind], jobKey(operationId)];
}
