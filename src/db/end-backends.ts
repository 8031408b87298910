import { withConnection } from './connection.ts';
import type { DatabaseSettings } from './database-settings.ts';

const endSql = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY($1) AND state <> 'idle'`;
// What sessions of another role do is not shown to the service.
const endOfRoleSql =
  'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY($1) AND usename = $2';

/**
 * Ends the server's side of connections that are at work, in the middle of it, from a connection of its own. Idle ones
 * stay.
 * @param backends process ids, as the server told them to their connections
 */
export async function endBackends(settings: DatabaseSettings, backends: readonly unknown[]): Promise<void> {
  await withConnection(settings, { withinMs: 5_000 }, (client) => client.query(endSql, [[...backends]]));
}

/** The same for connections that are logged in as another role, `role`: idle ones end too. */
export async function endBackendsOf(
  settings: DatabaseSettings,
  role: string,
  backends: readonly unknown[],
): Promise<void> {
  await withConnection(settings, { withinMs: 5_000 }, (client) =>
    client.query(endOfRoleSql, [[...backends], role]),
  );
}
