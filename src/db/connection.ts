import pg from 'pg';
import type { DatabaseSettings } from './database-settings.ts';

export interface ConnectionOptions {
  /** How long connecting may take, milliseconds. */
  readonly withinMs: number;
}

/** A connection of its own, outside of every pool; whoever opens it ends it. */
export async function openConnection(
  settings: DatabaseSettings,
  { withinMs }: ConnectionOptions,
): Promise<pg.Client> {
  const client = new pg.Client({ ...settings, connectionTimeoutMillis: withinMs });
  // A connection that breaks fails the next statement on it; without a listener it would end the process.
  client.on('error', () => {});
  await client.connect();
  return client;
}

/** Runs `work` on a connection of its own, and closes it. */
export async function withConnection<T>(
  settings: DatabaseSettings,
  options: ConnectionOptions,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = await openConnection(settings, options);
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
