import { createHash } from 'node:crypto';
import type pg from 'pg';
import type { TenantOrderField } from '../core/cursor.ts';
import type { DeletedFilter, Operation, Tenant } from '../core/model.ts';
import type { Page, TenantPage, TenantQuery } from '../core/ports.ts';
import { createBatchedReads } from './batched-reads.ts';
import { reachingDatabase } from './errors.ts';
import type { KeyRing } from './key-ring.ts';
import { readOperation, readTenant, type SqlRow, selectList } from './rows.ts';

/** So many statements are prepared on each connection at most; callers choose their shapes, and none is ever let go. */
const maxPrepared = 100;

/** Of the pool's connections: who only wants to know whether something has changed must not keep them all. */
const revisionsAtOnce = 2;

const orderColumns = {
  CREATED_AT: 'created_at',
  NAME: 'name',
  SUBDOMAIN: 'subdomain',
} as const satisfies Record<TenantOrderField, string>;

const visibility = {
  EXCLUDE: ['t.deleted_at IS NULL'],
  INCLUDE: [],
  ONLY: ['t.deleted_at IS NOT NULL'],
} as const satisfies Record<DeletedFilter, readonly string[]>;

const rowColumns = `${selectList('tenant', 't')}, ${selectList('operation', 'o')}`;
// Every change of a row, however small, is made by a transaction of its own number. The rows of a page and their order
// are therefore the same as before when these are.
const stateColumn = `concat_ws(' ', t.id, t.xmin, o.xmin) AS state`;
/** Of a page with that column; as `read` makes it of its rows. */
const digest = `encode(sha256(convert_to(coalesce(string_agg(state, ','), ''), 'UTF8')), 'hex')`;

/**
 * Pages of tenants with their newest operations, each by one statement: Prisma's client costs several times as much as
 * PostgreSQL does.
 */
export function createTenantPages(pool: pg.Pool, keyRing: Pick<KeyRing, 'emailIndex'>) {
  const names = new Map<string, string>();

  async function run({ text, values }: Statement): Promise<SqlRow[]> {
    if (!names.has(text) && names.size < maxPrepared) names.set(text, `tenant_page_${names.size}`);
    const name = names.get(text);
    const { rows } = await reachingDatabase(() =>
      pool.query<SqlRow>({ ...(name !== undefined && { name }), text, values }),
    );
    return rows;
  }

  const revisions = createBatchedReads({
    atOnce: revisionsAtOnce,
    size: 1,
    async read([key = '']) {
      const { text, values }: Statement = JSON.parse(key);
      const [row] = await run({ text: `SELECT ${digest} AS revision FROM (${text}) AS page`, values });
      return new Map([[key, String(row?.revision)]]);
    },
  });

  return {
    async read(query: TenantQuery): Promise<TenantPage & { readonly tenants: ListedTenant[] }> {
      const rows = await run(pageOf(query, keyRing, `${rowColumns}, ${stateColumn}`));
      const revision = createHash('sha256').update(rows.map(({ state }) => state).join());
      return { tenants: rows.map(readListed), revision: revision.digest('hex') };
    },
    /** Many who look at the same page at the same time are answered by one statement. */
    async revision(query: TenantQuery): Promise<string | null> {
      return revisions(JSON.stringify(pageOf(query, keyRing, stateColumn)));
    },
  };
}

export interface ListedTenant extends Tenant {
  readonly operation: Operation | null;
}

function readListed(row: SqlRow): ListedTenant {
  const operation = row['operation.id'] === null ? null : readOperation(row);
  return Object.assign(readTenant(row), { operation });
}

interface Statement {
  readonly text: string;
  readonly values: unknown[];
}

/** Each condition is there only when it is asked for, and the limit as a number, so that an index fits. */
function pageOf(query: TenantQuery, keyRing: Pick<KeyRing, 'emailIndex'>, columns: string): Statement {
  const { filter, order, after, before, limit, inverted } = query;
  const { status, tier, search, contactEmail, deleted } = filter;
  const values: unknown[] = [];
  const place = (value: unknown) => `$${values.push(value)}`;
  const conditions: string[] = [...visibility[deleted ?? 'EXCLUDE']];
  if (status != null && status.length > 0)
    conditions.push(`t.status = ANY (${place(status)}::tenant_status[])`);
  if (tier != null) conditions.push(`t.tier = ${place(tier)}`);
  if (contactEmail != null)
    conditions.push(`t.contact_email_index = ${place(keyRing.emailIndex(contactEmail))}`);
  if (search != null) {
    const prefix = `${escapePattern(search)}%`;
    conditions.push(`(t.name ILIKE ${place(prefix)} OR t.subdomain LIKE ${place(prefix.toLowerCase())})`);
  }
  const column = `t.${orderColumns[order.field]}`;
  const isAscending = order.direction === 'ASC';
  const beyond = (position: Page['after'], isUp: boolean) => {
    if (position === null) return;
    const comparison = isUp ? '>' : '<';
    conditions.push(
      `(${column}, t.id) ${comparison} (${place(position.value)}, ${place(position.id)}::uuid)`,
    );
  };
  beyond(after, isAscending);
  beyond(before, !isAscending);
  const where = conditions.length === 0 ? '' : `WHERE ${conditions.join(' AND ')}`;
  const sort = isAscending === inverted ? 'DESC' : 'ASC';
  return {
    text: `SELECT ${columns} FROM tenants AS t LEFT JOIN operations AS o ON o.id = t.operation_id ${where} ORDER BY ${column} ${sort}, t.id ${sort} LIMIT ${Math.trunc(limit)}`,
    values,
  };
}

/** The wildcards of LIKE are ordinary characters to a caller. */
function escapePattern(text: string): string {
  return text.replace(/[\\%_]/g, '\\$&');
}
