import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

type Row = Record<string, unknown>;

export interface RegistryRows extends AsyncDisposable {
  readonly database: TestDatabase;
  /** Inserts one row as the service's role. @returns its id, '' where it has none */
  insert(table: string, row: Row): Promise<string>;
  query(sql: string, values?: readonly unknown[]): Promise<Row[]>;
}

/** A migrated database of its own, worked on by plain SQL. */
export async function inserted(): Promise<RegistryRows> {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await createTestDatabase());
  const pool = new pg.Pool(database.settings);
  pool.on('error', () => {});
  stack.defer(() => pool.end());
  const query = async (sql: string, values: readonly unknown[] = []) =>
    (await pool.query<Row>(sql, [...values])).rows;
  return {
    database,
    query,
    async insert(table, row) {
      const columns = Object.keys(row);
      const places = columns.map((_, index) => `$${index + 1}`);
      await query(
        `INSERT INTO ${table} (${columns.join(', ')}) VALUES (${places.join(', ')})`,
        Object.values(row),
      );
      return typeof row.id === 'string' ? row.id : '';
    },
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** A row of `tenants` that breaks no rule, different each time. */
export function tenantRow() {
  const id = randomUUID();
  return {
    id,
    name: `Tenant ${id.slice(0, 8)}`,
    subdomain: `t-${id.slice(0, 13)}`,
    contact_email: `v1:key:${'n'.repeat(16)}:${'c'.repeat(22)}`,
    contact_email_index: 'i'.repeat(43),
  };
}
