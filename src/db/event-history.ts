import type pg from 'pg';
import type { EventHistory } from '../core/ports.ts';
import { withinTime } from '../core/within-time.ts';
import { reachingDatabase } from './errors.ts';
import { createGate } from './gate.ts';
import { readEvent, type SqlRow, selectList } from './rows.ts';

// The left join keeps the answer about unfinished work when there is no event to carry it.
const afterSql = `
SELECT unfinished, ${selectList('event', 'e')}
FROM (SELECT EXISTS (SELECT FROM operations WHERE tenant_id = $1 AND state IN ('PENDING', 'RUNNING')) AS unfinished) AS u
LEFT JOIN (SELECT * FROM provisioning_events WHERE tenant_id = $1 AND sequence > $2 ORDER BY sequence LIMIT $3) AS e ON true
ORDER BY e.sequence`;

const sinceSql = `
SELECT ${selectList('event', 'e')}
FROM provisioning_events AS e
WHERE e.created_at >= $1 AND (e.created_at, e.tenant_id, e.sequence) > ($1, $2::uuid, $3::int)
  AND ($4::uuid[] IS NULL OR e.tenant_id = ANY ($4))
ORDER BY e.created_at, e.tenant_id, e.sequence
LIMIT $5`;

/** When Redis comes back, all watchers read at the same moment: requests must not wait behind thousands of them. */
const readsAtOnce = 4;

/** The events as PostgreSQL has them. */
export function createEventHistory(pool: pg.Pool): EventHistory {
  const inTurn = createGate(readsAtOnce);
  // In its turn a read has a limit, so that reads which are stuck make room; waiting for the turn has none here.
  const read = (sql: string, values: readonly unknown[]) =>
    withinTime(() => reachingDatabase(() => pool.query<SqlRow>(sql, [...values])));
  const rows = async (sql: string, values: readonly unknown[]) =>
    (await inTurn(() => read(sql, values))).rows;
  return {
    async after(tenantId, after, limit) {
      const found = await rows(afterSql, [tenantId, after, limit]);
      return {
        events: found.filter((row) => row['event.sequence'] !== null).map(readEvent),
        unfinished: found[0]?.unfinished === true,
      };
    },
    async since({ createdAt, tenantId, sequence }, tenantIds, limit) {
      return (await rows(sinceSql, [createdAt, tenantId, sequence, tenantIds, limit])).map(readEvent);
    },
    async clock() {
      const [row] = await rows('SELECT now() AS now', []);
      if (!(row?.now instanceof Date)) throw new Error('the database did not tell its time');
      return row.now;
    },
  };
}
