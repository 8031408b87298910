import { runCommand } from './command.ts';
import { readInvocation } from './config.ts';
import { joinEmbeddedPostgres, startEmbeddedPostgres } from './db/embedded-postgres.ts';
import { openRegistry } from './db/open-registry.ts';
import { encryptionKeys } from './local-secrets.ts';
import { createLog } from './log.ts';

// `npm run migrate`: brings the registry up to date and ends, with the same flags as the service.
await runCommand(async () => {
  const invocation = readInvocation(process.argv.slice(2), process.env);
  if (invocation.kind !== 'serve') return void process.stdout.write(`${invocation.text}\n`);
  const { config } = invocation;
  const log = createLog(config.logLevel);
  const { dataDir } = config;
  await using parts = new AsyncDisposableStack();
  const settings =
    config.database.kind === 'external'
      ? config.database.settings
      : ((await joinEmbeddedPostgres(dataDir)) ??
        parts.use(await startEmbeddedPostgres({ dataDir, log: (message) => log.info(message) })).registry);
  const { applied } = await openRegistry(settings, await encryptionKeys(config, log));
  process.stdout.write(applied.length === 0 ? 'Nothing to migrate.\n' : `Applied ${applied.join(', ')}.\n`);
});
