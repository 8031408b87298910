import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import type { DatabaseSettings } from './db/database-settings.ts';
import { joinEmbeddedPostgres, startEmbeddedPostgres } from './db/embedded-postgres.ts';

/** The database that a command works on: the configured one, or the embedded one, which is joined when it runs. */
export async function commandDatabase(
  { database, dataDir }: Config,
  parts: AsyncDisposableStack,
  log: Logger,
): Promise<DatabaseSettings> {
  if (database.kind === 'external') return database.settings;
  const running = await joinEmbeddedPostgres(dataDir);
  if (running !== null) return running;
  return parts.use(await startEmbeddedPostgres({ dataDir, log: (message) => log.info(message) })).registry;
}

/** The same, where there must be one already. @throws Error in one line */
export async function existingDatabase(
  config: Config,
  parts: AsyncDisposableStack,
  log: Logger,
): Promise<DatabaseSettings> {
  if (config.database.kind === 'embedded' && !existsSync(join(config.dataDir, 'postgres')))
    throw new Error(
      `there is no database in ${config.dataDir} yet: start the service, or name one by --db-host`,
    );
  return commandDatabase(config, parts, log);
}
