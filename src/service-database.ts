import type { Logger } from 'pino';
import type { Config } from './config.ts';
import type { DatabaseSettings } from './db/database-settings.ts';
import { startEmbeddedPostgres } from './db/embedded-postgres.ts';

/** The database that is configured, or one of our own that stops with the process. */
export async function serviceDatabase(
  config: Config,
  parts: AsyncDisposableStack,
  log: Logger,
): Promise<DatabaseSettings> {
  if (config.database.kind === 'external') return config.database.settings;
  const embedded = parts.use(
    await startEmbeddedPostgres({ dataDir: config.dataDir, log: (message) => log.info(message) }),
  );
  return embedded.registry;
}
