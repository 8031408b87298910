import { runCommand } from './command.ts';
import { commandDatabase } from './command-database.ts';
import { readInvocation } from './config.ts';
import { openRegistry } from './db/open-registry.ts';
import { encryptionKeys, warnOfGeneratedKey } from './local-secrets.ts';
import { createLog } from './log.ts';

// `npm run migrate`: brings the registry up to date and ends, with the same flags as the service.
await runCommand(async () => {
  const invocation = readInvocation(process.argv.slice(2), process.env);
  if (invocation.kind !== 'serve') return void process.stdout.write(`${invocation.text}\n`);
  const { config } = invocation;
  const log = createLog(config.logLevel);
  await using parts = new AsyncDisposableStack();
  const settings = await commandDatabase(config, parts, log);
  const { applied } = await openRegistry(settings, await encryptionKeys(config));
  await warnOfGeneratedKey(config, log);
  process.stdout.write(applied.length === 0 ? 'Nothing to migrate.\n' : `Applied ${applied.join(', ')}.\n`);
});
