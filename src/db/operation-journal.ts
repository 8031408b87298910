import type pg from 'pg';
import type { ProvisioningEvent } from '../core/model.ts';
import {
  FencedOffError,
  type OperationJournal,
  type RecordedWork,
  type TakenOperation,
} from '../core/ports.ts';
import type { TenantCache } from '../core/tenant-cache.ts';
import { hasCode } from './error-code.ts';
import { reviveLostOperations } from './lost-operations.ts';
import { operationNewsSql } from './operation-news.ts';
import { type HeldConnection, holdConnection, inTransaction } from './pg-transaction.ts';
import { readEvent, readOperation, readTenant, type SqlRow, selectList } from './rows.ts';
import { sharedSession } from './sql-session.ts';
import { begun, type News, parts, type StepNews, type TenantChanges } from './step-news.ts';
import { divisionByZero, type RecordRow, stepRecord } from './step-record.ts';

/** How long an operation is tried, over however many runners: one whose step ends its worker each time is given up. */
const operationLimit = '1 day';

/**
 * An operation's state in a form that no index offers. The one of the unfinished would look cheap by the statistics of a
 * quiet hour, and be walked from end to end while thousands wait; the key is always right.
 */
const state = 'operations.state::text';

const itsTenant = (column: string) => `(SELECT ${column} FROM tenants WHERE id = operations.tenant_id)`;

// A runner that died does not count as a try: its successor goes on with the same one.
const takeSql = `
UPDATE operations
SET state = 'RUNNING', fence = fence + 1, attempt = attempt + CASE state WHEN 'PENDING' THEN 1 ELSE 0 END,
    next_attempt_at = NULL, started_at = coalesce(started_at, clock_timestamp()),
    lease_until = clock_timestamp() + $2 * interval '1 millisecond'
WHERE id = $1::uuid AND ${state} IN ('PENDING', 'RUNNING')
  AND (lease_until IS NULL OR lease_until < clock_timestamp())
  AND (next_attempt_at IS NULL OR next_attempt_at <= clock_timestamp())
RETURNING ${selectList('operation', 'operations')},
  started_at < clock_timestamp() - interval '${operationLimit}' AS overdue,
  ${itsTenant('schema_version')} AS "schemaVersion", ${itsTenant('status')} AS "tenantStatus",
  (SELECT json_agg(json_build_object('position', position, 'name', name, 'status', status) ORDER BY position)
   FROM operation_steps WHERE operation_id = operations.id) AS steps`;

const renewSql = `
UPDATE operations SET lease_until = clock_timestamp() + $3 * interval '1 millisecond'
WHERE id = $1::uuid AND fence = $2 AND ${state} = 'RUNNING'`;

const finishCancellingSql = operationNewsSql({
  tenant: `deleted_at = CASE WHEN previous.kind IN ('PROVISION', 'RESTORE') THEN clock_timestamp() ELSE deleted_at END`,
  operation: `state = 'CANCELLED', finished_at = clock_timestamp(), error = NULL, lease_until = NULL`,
  condition: `operations.fence = $2 AND ${state} = 'RUNNING'`,
  resetSteps: 'true',
  message: 'cancelled',
});

export interface OperationJournalOptions {
  readonly pool: pg.Pool;
  /** How long a runner may be silent before another one takes its operation, milliseconds. */
  readonly leaseMs: number;
  readonly cache: Pick<TenantCache, 'outdate'>;
}

/** The journal on PostgreSQL. */
export function createOperationJournal({ pool, leaseMs, cache }: OperationJournalOptions): OperationJournal {
  const held = new WeakMap<TakenOperation, HeldConnection>();

  function transactionOf<T>(taken: TakenOperation, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
    return held.get(taken)?.inTransaction(work) ?? inTransaction(pool, work);
  }

  /** Runs `work` and tells of it. COMMIT travels with what is told: when that is refused, it rolls back. */
  function recording(
    taken: TakenOperation,
    work: RecordedWork,
    newsOf: (messages: readonly string[]) => News,
  ): Promise<ProvisioningEvent[]> {
    return telling(taken, async (client) => {
      const session = sharedSession(client);
      const messages: string[] = [];
      const tenant: TenantChanges = {};
      await work(session, {
        note: (message) => void messages.push(message),
        setTenantStatus(status) {
          tenant.status = status;
        },
        setSchemaVersion(version) {
          tenant.schemaVersion = version;
        },
      });
      // Of several that fail the first one is told, and that is the one which makes the others fail.
      const [events] = await Promise.all([
        tell(client, taken, { ...newsOf(messages), tenant }),
        ...session.sent,
      ]);
      return events;
    });
  }

  /** A transaction with news. Once it is committed, the next ones come behind them. */
  async function telling(
    taken: TakenOperation,
    work: (client: pg.PoolClient) => Promise<ProvisioningEvent[]>,
  ): Promise<ProvisioningEvent[]> {
    const events = await transactionOf(taken, work);
    for (const { sequence, tenantStatus } of events) taken.told = { sequence, tenantStatus };
    return events;
  }

  /** Records the news and commits; nobody remembers a tenant as it was before they changed it. */
  async function tell(
    client: pg.PoolClient,
    taken: TakenOperation,
    news: News,
  ): Promise<ProvisioningEvent[]> {
    const { id, tenantId } = taken.operation;
    const { events, changesTenant, sql } = stepRecord(taken, news);
    if (changesTenant) cache.outdate(tenantId, null);
    // Of several statements there are several results, which its types do not say.
    const results: pg.QueryResult<RecordRow>[] = await client
      .query(sql)
      .then((all) => [all].flat())
      .catch((failure) => {
        throw hasCode(failure, divisionByZero) ? lost(id, failure) : failure;
      });
    const rows = results.flatMap((result) => result.rows);
    for (const { version } of rows) if (version !== undefined) cache.outdate(tenantId, version);
    const times = rows.flatMap(({ createdAt }) => createdAt ?? []);
    return events.flatMap((event, index) =>
      times.slice(index, index + 1).map((createdAt) => ({ ...event, createdAt })),
    );
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
      const operation = readOperation(row);
      const tenantStatus = row.tenantStatus as TakenOperation['tenantStatus'];
      return {
        operation,
        overdue: row.overdue === true,
        schemaVersion: Number(row.schemaVersion),
        tenantStatus,
        told: { sequence: operation.lastSequence, tenantStatus },
        steps: row.steps as TakenOperation['steps'],
      };
    },
    async during(taken, work) {
      using connection = holdConnection(pool);
      held.set(taken, connection);
      try {
        await work();
      } finally {
        held.delete(taken);
      }
    },
    async renew({ operation: { id, fence } }) {
      const { rowCount } = await pool.query(renewSql, [id, fence, leaseMs]);
      return rowCount === 1;
    },
    async begin(taken, position) {
      const news: News = { state: 'RUNNING', news: [begun(taken, position)] };
      return only(await telling(taken, (client) => tell(client, taken, news)));
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
    finishCancelling: (taken) =>
      transactionOf(taken, async (client) => {
        const { id, fence, tenantId } = taken.operation;
        const [row] = (await client.query<SqlRow>(finishCancellingSql, [id, fence])).rows;
        if (row === undefined) throw lost(id);
        cache.outdate(tenantId, null);
        await client.query('COMMIT');
        cache.outdate(tenantId, readTenant(row).version);
        return readEvent(row);
      }),
    async fail(taken, position, reason, retryInMs) {
      const news: readonly StepNews[] = [{ position, status: 'FAILED', message: reason }];
      const state = retryInMs === null ? 'FAILED' : 'PENDING';
      const isGivenUp = state === 'FAILED' && taken.operation.kind === 'PROVISION';
      const tenant: TenantChanges =
        isGivenUp && taken.told.tenantStatus !== 'ERROR' ? { status: 'ERROR' } : {};
      return only(
        await telling(taken, (client) =>
          tell(client, taken, { state, news, tenant, error: reason, retryInMs }),
        ),
      );
    },
    revive: () => reviveLostOperations(pool, leaseMs),
  };
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
