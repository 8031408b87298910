import pg from 'pg';
import type { ProvisioningEvent, StepStatus } from '../core/model.ts';
import type { TakenOperation } from '../core/ports.ts';
import { jobKey, operationTask } from './start-operation.ts';
import type { News, TenantChanges } from './step-news.ts';

// A record of steps is SQL with its values in it: one message to the server and one answer. Every new schema makes the
// server forget its plans, so statements that are prepared are planned anew as well (docs/decisions/0013).

/** What is told of a step; the server knows the time. */
type UntimedEvent = Omit<ProvisioningEvent, 'createdAt'>;

/** How a record ends when the operation is lost. */
export const divisionByZero = '22012';

const now = 'clock_timestamp()';

const operationColumns: Readonly<Record<News['state'], string>> = {
  PENDING: ', lease_until = NULL',
  RUNNING: '',
  SUCCEEDED: `, lease_until = NULL, finished_at = ${now}`,
  FAILED: `, lease_until = NULL, finished_at = ${now}`,
};

const stepColumns: Readonly<Record<StepStatus, string>> = {
  PENDING: 'started_at = NULL, finished_at = NULL',
  IN_PROGRESS: `started_at = CASE status WHEN 'IN_PROGRESS' THEN started_at ELSE ${now} END, finished_at = NULL`,
  SUCCESS: `started_at = coalesce(started_at, ${now}), finished_at = ${now}`,
  FAILED: `started_at = coalesce(started_at, ${now}), finished_at = ${now}`,
};

const tenantColumns = {
  status: 'status',
  schema_version: 'schemaVersion',
} as const satisfies Readonly<Record<string, keyof TenantChanges>>;

const eventColumns = {
  tenant_id: 'tenantId',
  sequence: 'sequence',
  operation_id: 'operationId',
  kind: 'kind',
  operation_state: 'operationState',
  step: 'step',
  status: 'status',
  completed_steps: 'completedSteps',
  total_steps: 'totalSteps',
  message: 'message',
  tenant_status: 'tenantStatus',
} as const satisfies Readonly<Record<string, keyof UntimedEvent>>;

/** A row that a record answers: of an event, or of a tenant that changed. */
export interface RecordRow {
  readonly createdAt?: Date;
  readonly version?: number;
}

/**
 * The events that news of steps are told by, and the SQL that records them and commits: the tenant if it changes, the
 * operation under its fence, the steps, an event for each, and the job of a retry. It answers the tenant's version and the
 * times of the events, and divides by zero when the operation is lost: an error, so that all of the transaction is rolled
 * back. A step's own work comes before, or the operation's row would block the lease's renewal.
 */
export function stepRecord(
  taken: TakenOperation,
  news: News,
): { readonly events: readonly UntimedEvent[]; readonly changesTenant: boolean; readonly sql: string } {
  const events = eventsOf(taken, news);
  const tenant = tenantSql(taken.operation, news.tenant ?? {});
  return { events, changesTenant: tenant !== '', sql: tenant + recordSql(taken, news, events) };
}

/** Its row is locked first and the operation's second, as everywhere. */
function tenantSql({ tenantId }: TakenOperation['operation'], changes: TenantChanges): string {
  const sets = Object.entries(tenantColumns).flatMap(([column, field]) => {
    const value = changes[field];
    return value === undefined ? [] : [`${column} = ${literal(value)}`];
  });
  return sets.length === 0
    ? ''
    : `UPDATE tenants SET ${sets.join(', ')} WHERE id = ${literal(tenantId)} RETURNING version;`;
}

function eventsOf({ operation, steps, told }: TakenOperation, { state, news, tenant }: News): UntimedEvent[] {
  return news.map(({ position, status, message }, index) => ({
    tenantId: operation.tenantId,
    operationId: operation.id,
    kind: operation.kind,
    operationState: status === 'IN_PROGRESS' ? 'RUNNING' : state,
    sequence: told.sequence + index + 1,
    step: String(steps[position]?.name),
    status,
    completedSteps: position + (status === 'SUCCESS' ? 1 : 0),
    totalSteps: steps.length,
    message,
    tenantStatus: tenant?.status ?? told.tenantStatus,
  }));
}

function recordSql(
  { operation: { id, fence }, told }: TakenOperation,
  { state, news, error = null, retryInMs = null }: News,
  events: readonly UntimedEvent[],
): string {
  const operation = literal(id);
  const newest = new Map(news.map(({ position, status }) => [position, status]));
  const steps = [...newest].map(
    ([position, status]) => `
    UPDATE operation_steps
    SET status = '${status}', ${stepColumns[status]}, error = ${literal(status === 'FAILED' ? error : null)}
    WHERE operation_id = ${operation} AND position = ${position};`,
  );
  const rows = events.map(
    (event) =>
      `(${Object.values(eventColumns)
        .map((field) => literal(event[field]))
        .join(', ')}, ${now})`,
  );
  return `
    UPDATE operations
    SET fence = fence / CASE WHEN fence = ${fence} AND state = 'RUNNING' THEN 1 ELSE 0 END,
      last_sequence = ${told.sequence + events.length}, state = '${state}', error = ${literal(error)},
      next_attempt_at = ${now} + ${literal(retryInMs)} * interval '1 millisecond'${operationColumns[state]}
    WHERE id = ${operation};
    ${steps.join('')}
    INSERT INTO provisioning_events (${Object.keys(eventColumns).join(', ')}, created_at)
    VALUES ${rows.join(', ')} RETURNING created_at AS "createdAt";
    ${retryInMs === null ? '' : retrySql(id)}
    COMMIT`;
}

/** At the very moment from which the operation may be taken: a job that came earlier would find nothing to do. */
function retrySql(id: string): string {
  return `
    SELECT graphile_worker.add_job('${operationTask}', json_build_object('operationId', id),
      run_at => next_attempt_at, job_key => ${literal(jobKey(id))})
    FROM operations WHERE id = ${literal(id)};`;
}

function literal(value: string | number | null): string {
  if (value === null) return 'NULL';
  return typeof value === 'number' ? String(value) : pg.escapeLiteral(value);
}
