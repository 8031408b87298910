import type pg from 'pg';
import type { ProvisioningEvent, StepStatus } from '../core/model.ts';
import {
  FencedOffError,
  type OperationJournal,
  type RecordedWork,
  type TakenOperation,
} from '../core/ports.ts';
import { hasCode } from './error-code.ts';
import { reviveLostOperations } from './lost-operations.ts';
import { operationNewsSql } from './operation-news.ts';
import { inTransaction } from './pg-transaction.ts';
import { readEvent, readOperation, type SqlRow, selectList } from './rows.ts';
import { sharedSession } from './sql-session.ts';
import { jobKey, operationTask } from './start-operation.ts';

/** How long an operation is tried, over however many runners: one whose step ends its worker each time is given up. */
const operationLimit = '1 day';

// A runner that died does not count as a try: its successor goes on with the same one.
const takeSql = `
WITH o AS (
  UPDATE operations
  SET state = 'RUNNING', fence = fence + 1, attempt = attempt + CASE state WHEN 'PENDING' THEN 1 ELSE 0 END,
      next_attempt_at = NULL, started_at = coalesce(started_at, clock_timestamp()),
      lease_until = clock_timestamp() + $2 * interval '1 millisecond'
  WHERE id = $1::uuid AND state IN ('PENDING', 'RUNNING')
    AND (lease_until IS NULL OR lease_until < clock_timestamp())
    AND (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp())
  RETURNING *
)
SELECT ${selectList('operation', 'o')},
  o.started_at < clock_timestamp() - interval '${operationLimit}' AS overdue,
  (SELECT schema_version FROM tenants WHERE id = o.tenant_id) AS "schemaVersion",
  (SELECT json_agg(json_build_object('position', position, 'name', name, 'status', status) ORDER BY position)
   FROM operation_steps WHERE operation_id = o.id) AS steps
FROM o`;

const renewSql = `
UPDATE operations SET lease_until = clock_timestamp() + $3 * interval '1 millisecond'
WHERE id = $1::uuid AND fence = $2 AND state = 'RUNNING'`;

/** How `tellSql` ends when the operation is lost. */
const divisionByZero = '22012';

/**
 * News of steps: the tenant's next sequences, the operation under its fence, the steps, an event for each. The tenant's
 * row is locked first and the operation's second, as everywhere; a step's own work comes before both, or it would block
 * the lease's renewal.
 *
 * Parameters: operation, fence, operation state, retry in milliseconds; then of each news position, status, message.
 */
const tellSql = `
WITH news AS (
  SELECT * FROM unnest($5::int[], $6::step_status[], $7::text[]) WITH ORDINALITY AS news (position, status, message, number)
),
t AS (
  UPDATE tenants
  SET last_sequence = last_sequence + cardinality($5::int[]),
      status = CASE WHEN $3::operation_state = 'FAILED' AND operations.kind = 'PROVISION' THEN 'ERROR' ELSE status END
  FROM operations WHERE operations.id = $1::uuid AND tenants.id = operations.tenant_id
  RETURNING tenants.id, tenants.last_sequence, tenants.status
),
o AS (
  UPDATE operations
  SET state = $3::operation_state,
      error = (SELECT message FROM news WHERE status = 'FAILED'),
      next_attempt_at = clock_timestamp() + $4::float8 * interval '1 millisecond',
      lease_until = CASE WHEN $3::operation_state = 'RUNNING' THEN lease_until END,
      finished_at = CASE WHEN $3::operation_state IN ('SUCCEEDED', 'FAILED') THEN clock_timestamp() END
  FROM t
  WHERE operations.id = $1::uuid AND operations.fence = $2 AND operations.state = 'RUNNING'
  RETURNING operations.*
),
s AS (
  UPDATE operation_steps AS step
  SET status = newest.status,
      started_at = CASE
        WHEN newest.status = 'PENDING' THEN NULL
        WHEN newest.status = 'IN_PROGRESS' AND step.status <> 'IN_PROGRESS' THEN clock_timestamp()
        ELSE coalesce(step.started_at, clock_timestamp()) END,
      finished_at = CASE WHEN newest.status IN ('SUCCESS', 'FAILED') THEN clock_timestamp() END,
      error = CASE WHEN newest.status = 'FAILED' THEN newest.message END
  FROM o, (SELECT DISTINCT ON (position) * FROM news ORDER BY position, number DESC) AS newest
  WHERE step.operation_id = o.id AND step.position = newest.position
  RETURNING step.position, step.name
),
e AS (
  INSERT INTO provisioning_events
    (tenant_id, sequence, operation_id, kind, operation_state, step, status, completed_steps, total_steps, message, tenant_status, created_at)
  SELECT t.id, t.last_sequence - cardinality($5::int[]) + news.number, o.id, o.kind,
         CASE news.status WHEN 'IN_PROGRESS' THEN 'RUNNING' ELSE o.state END, s.name, news.status,
         news.position + CASE news.status WHEN 'SUCCESS' THEN 1 ELSE 0 END,
         (SELECT count(*) FROM operation_steps WHERE operation_id = o.id), news.message, t.status, clock_timestamp()
  FROM t, o, news JOIN s USING (position)
  RETURNING *
)
-- An error, not an empty answer, when the operation is lost: what was drawn from the tenant's sequence is given back.
SELECT ${selectList('event', 'e')} FROM (SELECT 1 / count(*) AS one FROM o) AS held LEFT JOIN e ON held.one = 1
ORDER BY e.sequence`;

const finishCancellingSql = operationNewsSql({
  tenant: `deleted_at = CASE WHEN previous.kind IN ('PROVISION', 'RESTORE') THEN clock_timestamp() ELSE deleted_at END`,
  operation: `state = 'CANCELLED', finished_at = clock_timestamp(), error = NULL, lease_until = NULL`,
  condition: `operations.fence = $2 AND operations.state = 'RUNNING'`,
  resetSteps: 'true',
  message: 'cancelled',
});

// At the very moment from which the operation may be taken: a job that came earlier would find nothing to do.
const retrySql = `
SELECT graphile_worker.add_job('${operationTask}', json_build_object('operationId', id),
  run_at => next_attempt_at, job_key => $2)
FROM operations WHERE id = $1::uuid`;

export interface OperationJournalOptions {
  readonly pool: pg.Pool;
  /** How long a runner may be silent before another one takes its operation, milliseconds. */
  readonly leaseMs: number;
}

/** The journal on PostgreSQL. */
export function createOperationJournal({ pool, leaseMs }: OperationJournalOptions): OperationJournal {
  /** Runs `work` and tells of it. COMMIT travels with what is told: when that is refused, it rolls back. */
  function recording(
    taken: TakenOperation,
    work: RecordedWork,
    newsOf: (messages: readonly string[]) => News,
  ): Promise<ProvisioningEvent[]> {
    return inTransaction(pool, async (client) => {
      const news = newsOf(await work(sharedSession(client)));
      const [events] = await Promise.all([tell(client, taken, news), client.query('COMMIT')]);
      return events;
    });
  }

  async function tell(
    on: Pick<pg.Pool | pg.PoolClient, 'query'>,
    { operation: { id, fence } }: TakenOperation,
    { state, steps, retryInMs = null }: News,
  ): Promise<ProvisioningEvent[]> {
    const columns = [
      steps.map(({ position }) => position),
      steps.map(({ status }) => status),
      steps.map(({ message }) => message),
    ];
    const values = [id, fence, state, retryInMs, ...columns];
    try {
      const { rows } = await on.query<SqlRow>({ name: 'tell', text: tellSql, values });
      return rows.filter((row) => row['event.sequence'] !== null).map(readEvent);
    } catch (error) {
      throw hasCode(error, divisionByZero) ? lost(id, error) : error;
    }
  }

  return {
    async take(operationId) {
      const { rows } = await pool.query<SqlRow>({
        name: 'take',
        text: takeSql,
        values: [operationId, leaseMs],
      });
      const [row] = rows;
      if (row === undefined) return null;
      return {
        operation: readOperation(row),
        overdue: row.overdue === true,
        schemaVersion: Number(row.schemaVersion),
        steps: row.steps as TakenOperation['steps'],
      };
    },
    async renew({ operation: { id, fence } }) {
      const { rowCount } = await pool.query(renewSql, [id, fence, leaseMs]);
      return rowCount === 1;
    },
    async begin(taken, position) {
      return only(await tell(pool, taken, { state: 'RUNNING', steps: [begun(taken, position)] }));
    },
    advance: (taken, position, work) =>
      recording(taken, work, (messages) => ({ state: 'RUNNING', steps: parts(position, messages) })),
    perform: (taken, position, next, work) =>
      recording(taken, work, (messages) => {
        const done: StepNews = { position, status: 'SUCCESS', message: null };
        const steps = [...parts(position, messages), done];
        return next === null
          ? { state: 'SUCCEEDED', steps }
          : { state: 'RUNNING', steps: [...steps, begun(taken, next)] };
      }),
    undo: (taken, position, next, work) =>
      recording(taken, work, (messages) => {
        const undone: StepNews = { position, status: 'PENDING', message: 'undone' };
        const steps = [...parts(position, messages), undone];
        return { state: 'RUNNING', steps: next === null ? steps : [...steps, begun(taken, next)] };
      }),
    finishCancelling: ({ operation: { id, fence } }) =>
      inTransaction(pool, async (client) => {
        const [row] = (await client.query<SqlRow>(finishCancellingSql, [id, fence])).rows;
        if (row === undefined) throw lost(id);
        await client.query('COMMIT');
        return readEvent(row);
      }),
    fail: (taken, position, reason, retryInMs) =>
      inTransaction(pool, async (client) => {
        const { id } = taken.operation;
        const steps: readonly StepNews[] = [{ position, status: 'FAILED', message: reason }];
        const state = retryInMs === null ? 'FAILED' : 'PENDING';
        const event = only(await tell(client, taken, { state, steps, retryInMs }));
        if (retryInMs !== null) await client.query(retrySql, [id, jobKey(id)]);
        await client.query('COMMIT');
        return event;
      }),
    revive: () => reviveLostOperations(pool, leaseMs),
  };
}

interface News {
  /** Of the operation, from now on. */
  readonly state: 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED';
  readonly steps: readonly StepNews[];
  readonly retryInMs?: number | null;
}

/** What an event tells of a step; what its last news says is the step's status. */
interface StepNews {
  readonly position: number;
  readonly status: StepStatus;
  readonly message: string | null;
}

function begun({ operation }: TakenOperation, position: number): StepNews {
  return { position, status: 'IN_PROGRESS', message: operation.cancelling ? 'undoing' : null };
}

function parts(position: number, messages: readonly string[]): StepNews[] {
  return messages.map((message) => ({ position, status: 'IN_PROGRESS', message }));
}

function lost(operationId: string, cause?: unknown): FencedOffError {
  return new FencedOffError(`operation ${operationId} is held by somebody else now`, { cause });
}

function only(events: readonly ProvisioningEvent[]): ProvisioningEvent {
  const [event] = events;
  if (event === undefined || events.length > 1)
    throw new Error(`one event was expected, not ${events.length}`);
  return event;
}
