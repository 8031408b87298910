import type pg from 'pg';
import type { SqlSession } from '../core/ports.ts';

/** A connection as its borrower sees it, until it is `over`. */
export function borrowedSession(client: pg.Client): { readonly session: SqlSession; over(): void } {
  let isOver = false;
  return {
    session: {
      async query(sql, values) {
        if (isOver) throw new Error('the connection was given back; run all statements before the work ends');
        return (await client.query<Record<string, unknown>>(sql, values ? [...values] : undefined)).rows;
      },
    },
    over() {
      isOver = true;
    },
  };
}

/**
 * Brings a session back to how it was when it was opened: no transaction, settings, temporary tables, prepared
 * statements, cursors, channels or locks of whoever had it.
 * @throws when that does not succeed; the connection is to be closed then
 */
export async function resetSession(client: pg.Client): Promise<void> {
  if (client.getTransactionStatus() !== 'I') await client.query('ROLLBACK');
  await client.query('DISCARD ALL');
}

/** Closes a connection at once, in the middle of whatever it does; the server may notice later. */
export function abandon(client: pg.Client): void {
  // So that it counts as closed, not as broken.
  client.end().catch(() => {});
  client.connection.stream.destroy();
}

/** The process id of the server's side. */
export function backendOf(client: pg.Client): unknown {
  return Reflect.get(client, 'processID');
}
