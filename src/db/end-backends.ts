import { withConnection } from './connection.ts';
import type { DatabaseSettings } from './database-settings.ts';

const endSql = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY($1) AND state <> 'idle'`;

/**
 * Ends the server's side of connections that are at work, in the middle of it, from a connection of its own. Idle ones
 * stay.
 * @param backends process ids, as the server told them to their connections
 */
export async function endBackends(settings: DatabaseSettings, backends: readonly unknown[]): Promise<void> {
  await withConnection(settings, { withinMs: 5_000 }, (client) => client.query(endSql, [[...backends]]));
}
