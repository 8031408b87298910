import pg from 'pg';
import type { SqlSession } from '../core/ports.ts';

/** Where tenants' roles log in. */
export interface TenantServer {
  readonly host: string;
  readonly port: number;
  readonly database: string;
}

/** Runs `work` on a new connection that is logged in as `user`, and closes it. */
export async function withTenantSession<T>(
  server: TenantServer,
  user: string,
  password: string,
  work: (session: SqlSession) => Promise<T>,
): Promise<T> {
  const { host, port, database } = server;
  const client = new pg.Client({ host, port, database, user, password, connectionTimeoutMillis: 5_000 });
  // A connection that breaks fails its statement; this only keeps the event from ending the process.
  client.on('error', () => {});
  try {
    await client.connect();
    return await work({
      query: async (sql, values) =>
        (await client.query<Record<string, unknown>>(sql, values ? [...values] : undefined)).rows,
    });
  } finally {
    await client.end();
  }
}
