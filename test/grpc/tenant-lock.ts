import pg from 'pg';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';

export interface TenantLock extends AsyncDisposable {
  /** How many statements wait for a lock in this database. */
  waiting(): Promise<number>;
}

/** Holds the tenant's row as a transaction would that is not done, so that whoever changes it waits. */
export async function lockTenant(settings: DatabaseSettings, id: string): Promise<TenantLock> {
  const client = new pg.Client(settings);
  // Inside a transaction pg_stat_activity stays as it was when it was first read.
  const observer = new pg.Client(settings);
  await Promise.all([client.connect(), observer.connect()]);
  await client.query('BEGIN');
  await client.query('SELECT FROM tenants WHERE id = $1 FOR UPDATE', [id]);
  return {
    async waiting() {
      const { rowCount } = await observer.query(
        "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
      );
      return rowCount ?? 0;
    },
    async [Symbol.asyncDispose]() {
      await client.query('ROLLBACK');
      await Promise.all([client.end(), observer.end()]);
    },
  };
}
