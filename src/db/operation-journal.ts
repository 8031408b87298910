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

/**
 * An operation's state in a form that no index offers. The one of the unfinished would look cheap by the statistics of a
 * quiet hour, and be walked from end to end while thousands wait; the key is always right.
 */
const state = 'operations.state::text';

// A runner that died does not count as a try: its successor goes on with the same one.
const takeSql = `
WITH o AS (
  UPDATE operations
  SET state = 'RUNNING', fence = fence + 1, attempt = attempt + CASE state WHEN 'PENDING' THEN 1 ELSE 0 END,
      next_attempt_at = NULL, started_at = coalesce(started_at, clock_timestamp()),
      lease_until = clock_timestamp() + $2 * interval '1 millisecond'
  WHERE id = $1::uuid AND ${state} IN ('PENDING', 'RUNNING')
    AND (lease_until IS NULL OR lease_until < clock_timestamp())
    AND (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp())
  RETURNING *
)
SELECT ${selectList('operation', 'o')},
  o.started_at < clock_timestamp() - interval '${operationLimit}' AS overdue,
  tenants.schema_version AS "schemaVersion", tenants.status AS "tenantStatus",
  (SELECT json_agg(json_build_object('position', position, 'name', name, 'status', status) ORDER BY position)
   FROM operation_steps WHERE operation_id = o.id) AS steps
FROM o JOIN tenants ON tenants.id = o.tenant_id`;

const renewSql = `
UPDATE operations SET lease_until = clock_timestamp() + $3 * interval '1 millisecond'
WHERE id = $1::uuid AND fence = $2 AND ${state} = 'RUNNING'`;

/** How `tellSql` ends when the operation is lost. */
const divisionByZero = '22012';

/**
 * News of steps: the operation under its fence, the next sequences, the steps, an event for each. A step's own work comes
 * before, or the operation's row would block the lease's renewal. Every new schema makes the server forget its plans, so
 * what the runner knows is not looked up.
 *
 * Parameters: operation, fence, operation state, error, retry in milliseconds; tenant, kind, number of steps; the steps'
 * positions and new statuses; of each event completed steps, operation state, step, status, message.
 */
const tellSql = `
WITH o AS (
  UPDATE operations
  SET state = $3::operation_state, error = $4::text, last_sequence = last_sequence + cardinality($11::int[]),
      next_attempt_at = clock_timestamp() + $5::float8 * interval '1 millisecond',
      lease_until = CASE WHEN $3::operation_state = 'RUNNING' THEN lease_until END,
      finished_at = CASE WHEN $3::operation_state IN ('SUCCEEDED', 'FAILED') THEN clock_timestamp() END
  WHERE id = $1::uuid AND fence = $2 AND ${state} = 'RUNNING'
  RETURNING last_sequence - cardinality($11::int[]) AS told, clock_timestamp()::timestamptz(3) AS now,
            (SELECT status FROM tenants WHERE id = $6::uuid) AS tenant_status
),
s AS (
  UPDATE operation_steps AS step
  SET status = newest.status,
      started_at = CASE
        WHEN newest.status = 'PENDING' THEN NULL
        WHEN newest.status = 'IN_PROGRESS' AND step.status <> 'IN_PROGRESS' THEN clock_timestamp()
        ELSE coalesce(step.started_at, clock_timestamp()) END,
      finished_at = CASE WHEN newest.status IN ('SUCCESS', 'FAILED') THEN clock_timestamp() END,
      error = CASE WHEN newest.status = 'FAILED' THEN $4::text END
  FROM unnest($9::int[], $10::step_status[]) AS newest (position, status)
  WHERE step.operation_id = $1::uuid AND step.position = newest.position
),
e AS (
  INSERT INTO provisioning_events
    (tenant_id, sequence, operation_id, kind, operation_state, step, status, completed_steps, total_steps, message, tenant_status, created_at)
  SELECT $6::uuid, o.told + news.number, $1::uuid, $7::operation_kind, news.state, news.name, news.status,
         news.completed, $8::int, news.message, o.tenant_status, o.now
  FROM o, unnest($11::int[], $12::operation_state[], $13::text[], $14::step_status[], $15::text[])
    WITH ORDINALITY AS news (completed, state, name, status, message, number)
)
-- An error, not an empty answer, when the operation is lost: the transaction is rolled back.
SELECT max(told) AS told, max(now) AS now, max(tenant_status) AS "tenantStatus", 1 / count(*) AS held FROM o`;

// The tenant's row is locked first and the operation's second, as everywhere.
const failProvisionSql = `UPDATE tenants SET status = 'ERROR' WHERE id = $1::uuid`;

const finishCancellingSql = operationNewsSql({
  tenant: `deleted_at = CASE WHEN previous.kind IN ('PROVISION', 'RESTORE') THEN clock_timestamp() ELSE deleted_at END`,
  operation: `state = 'CANCELLED', finished_at = clock_timestamp(), error = NULL, lease_until = NULL`,
  condition: `operations.fence = $2 AND ${state} = 'RUNNING'`,
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
      const session = sharedSession(client);
      const news = newsOf(await work(session));
      // Of several that fail the first one is told, and that is the one which makes the others fail.
      const [events] = await Promise.all([
        tell(client, taken, news),
        client.query('COMMIT'),
        ...session.sent,
      ]);
      return events;
    });
  }

  async function tell(
    on: Pick<pg.Pool | pg.PoolClient, 'query'>,
    { operation: { id, fence, tenantId, kind }, steps: all }: TakenOperation,
    { state, news, error = null, retryInMs = null }: News,
  ): Promise<ProvisioningEvent[]> {
    const newest = new Map(news.map(({ position, status }) => [position, status]));
    const events = news.map(({ position, status, message }) => ({
      completedSteps: position + (status === 'SUCCESS' ? 1 : 0),
      operationState: status === 'IN_PROGRESS' ? 'RUNNING' : state,
      step: String(all[position]?.name),
      status,
      message,
    }));
    const column = (name: keyof (typeof events)[number]) => events.map((event) => event[name]);
    const values = [
      ...[id, fence, state, error, retryInMs, tenantId, kind, all.length],
      ...[[...newest.keys()], [...newest.values()]],
      ...[
        column('completedSteps'),
        column('operationState'),
        column('step'),
        column('status'),
        column('message'),
      ],
    ];
    try {
      const { rows } = await on.query<Told>({ name: 'tell', text: tellSql, values });
      return rows.flatMap(({ told, now, tenantStatus }) =>
        events.map((event, index) => ({
          ...event,
          tenantId,
          operationId: id,
          kind,
          sequence: told + index + 1,
          totalSteps: all.length,
          tenantStatus,
          createdAt: now,
        })),
      );
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
        tenantStatus: row.tenantStatus as TakenOperation['tenantStatus'],
        steps: row.steps as TakenOperation['steps'],
      };
    },
    async renew({ operation: { id, fence } }) {
      const { rowCount } = await pool.query(renewSql, [id, fence, leaseMs]);
      return rowCount === 1;
    },
    async begin(taken, position) {
      return only(await tell(pool, taken, { state: 'RUNNING', news: [begun(taken, position)] }));
    },
    advance: (taken, position, work) =>
      recording(taken, work, (messages) => ({ state: 'RUNNING', news: parts(position, messages) })),
    perform: (taken, position, next, work) =>
      recording(taken, work, (messages) => {
        const done: StepNews = { position, status: 'SUCCESS', message: null };
        const news = [...parts(position, messages), done];
        return next === null
          ? { state: 'SUCCEEDED', news }
          : { state: 'RUNNING', news: [...news, begun(taken, next)] };
      }),
    undo: (taken, position, next, work) =>
      recording(taken, work, (messages) => {
        const undone: StepNews = { position, status: 'PENDING', message: 'undone' };
        const news = [...parts(position, messages), undone];
        return { state: 'RUNNING', news: next === null ? news : [...news, begun(taken, next)] };
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
        const { id, tenantId, kind } = taken.operation;
        const news: readonly StepNews[] = [{ position, status: 'FAILED', message: reason }];
        const state = retryInMs === null ? 'FAILED' : 'PENDING';
        if (state === 'FAILED' && kind === 'PROVISION') await client.query(failProvisionSql, [tenantId]);
        const event = only(await tell(client, taken, { state, news, error: reason, retryInMs }));
        if (retryInMs !== null) await client.query(retrySql, [id, jobKey(id)]);
        await client.query('COMMIT');
        return event;
      }),
    revive: () => reviveLostOperations(pool, leaseMs),
  };
}

/** What `tellSql` answers. */
interface Told {
  /** The sequence before the first of the events. */
  readonly told: number;
  readonly now: Date;
  readonly tenantStatus: ProvisioningEvent['tenantStatus'];
}

interface News {
  /** Of the operation, from now on. */
  readonly state: 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED';
  readonly news: readonly StepNews[];
  /** Why a step failed. */
  readonly error?: string | null;
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
