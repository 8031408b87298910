import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import { currentSignal } from '../core/cancellation.ts';
import type { SqlSession } from '../core/ports.ts';

/** Where tenants' roles log in. */
export interface TenantServer {
  readonly host: string;
  readonly port: number;
  readonly database: string;
  /** How connections are encrypted; false: in plain text. */
  readonly ssl: ConnectionOptions | false;
}

/** Runs `work` on a new connection that is logged in as `user`, and closes it; at once when the caller's signal aborts. */
export async function withTenantSession<T>(
  server: TenantServer,
  user: string,
  password: string,
  work: (session: SqlSession) => Promise<T>,
): Promise<T> {
  const { host, port, database, ssl } = server;
  const client = new pg.Client({ host, port, database, ssl, user, password, connectionTimeoutMillis: 5_000 });
  // A connection that breaks fails its statement; this only keeps the event from ending the process.
  client.on('error', () => {});
  const signal = currentSignal();
  const end = () => void client.end().catch(() => {});
  signal?.addEventListener('abort', end, { once: true });
  try {
    await client.connect();
    return await work({
      query: async (sql, values) =>
        (await client.query<Record<string, unknown>>(sql, values ? [...values] : undefined)).rows,
    });
  } finally {
    signal?.removeEventListener('abort', end);
    await client.end();
  }
}
