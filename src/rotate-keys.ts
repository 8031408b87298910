import { runCommand } from './command.ts';
import { existingDatabase } from './command-database.ts';
import { readInvocation } from './config.ts';
import { rotateKeys } from './db/key-rotation.ts';
import { readKeyUsage } from './db/key-usage.ts';
import { joinRegistryToWrite } from './db/open-registry.ts';
import { createPool } from './db/pool.ts';
import { createRotationReport } from './db/rotation-report.ts';
import { encryptionKeys } from './local-secrets.ts';
import { createLog } from './log.ts';

const usage = `Usage: npm run rotate-keys -- [flags of the service] …

Encrypts everything anew that is not under the first of --encryption-keys, beside a running service, and says which of
the others may go. It may be ended at any time and run again: it goes on with what is left.

Exit code: 0 when all is under the first key, 1 when something is not, 2 when it cannot work.
`;

// `npm run rotate-keys`: brings everything under the first encryption key, with the flags of the service.
await runCommand(async () => {
  const invocation = readInvocation(process.argv.slice(2), process.env);
  const write = (text: string) => void process.stdout.write(`${text}\n`);
  if (invocation.kind === 'help') return write(`${usage}\n${invocation.text}`);
  if (invocation.kind === 'version') return write(invocation.text);
  const { config } = invocation;
  const log = createLog('silent');
  await using parts = new AsyncDisposableStack();
  const settings = await existingDatabase(config, parts, log);
  const [first, ...others] = await encryptionKeys(config);
  if (first === undefined) throw new Error('--encryption-keys takes at least one key');
  const keys = [first, ...others] as const;
  const { registryId, keyRing } = await joinRegistryToWrite(settings, keys);
  const pool = createPool(settings, {
    max: 1,
    name: 'tenant-management-service rotation',
    onError: () => {},
  });
  parts.defer(() => pool.end());
  const report = createRotationReport(
    keys.map(({ id }) => id),
    write,
  );
  for await (const news of rotateKeys({ pool, registryId, keys, keyRing })) report.tell(news);
  return report.end(await readKeyUsage(pool)) ? 0 : 1;
});
