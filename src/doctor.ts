import { runCommand } from './command.ts';
import { existingDatabase } from './command-database.ts';
import { readInvocation } from './config.ts';
import { joinRegistry } from './db/open-registry.ts';
import { createPool } from './db/pool.ts';
import { sqlSession } from './db/sql-session.ts';
import { doctorUsage, readDoctorArguments } from './doctor/arguments.ts';
import { examine } from './doctor/doctor.ts';
import { createReport } from './doctor/report.ts';
import { encryptionKeys } from './local-secrets.ts';
import { createLog } from './log.ts';
import { readLedger } from './workers/migration-ledger.ts';
import { readTenantMigrations } from './workers/tenant-migrations.ts';

// `npm run doctor`: compares what PostgreSQL has of the tenants with what it should have, with the flags of the service.
await runCommand(async () => {
  const { tenantId, fix, others } = readDoctorArguments(process.argv.slice(2));
  const invocation = readInvocation(others, process.env);
  const write = (text: string) => void process.stdout.write(`${text}\n`);
  if (invocation.kind === 'help') return write(`${doctorUsage}\n${invocation.text}`);
  if (invocation.kind === 'version') return write(invocation.text);
  const { config } = invocation;
  const log = createLog('silent');
  await using parts = new AsyncDisposableStack();
  const settings = await existingDatabase(config, parts, log);
  const { registryId, keyRing } = await joinRegistry(settings, await encryptionKeys(config));
  const pool = createPool(settings, { max: 2, name: 'tenant-management-service doctor', onError: () => {} });
  parts.defer(() => pool.end());
  const { version } = await readTenantMigrations(config.tenantMigrations, await readLedger(sqlSession(pool)));
  const report = createReport(fix, write);
  const statements = examine({
    pool,
    registryId,
    keyRing,
    server: settings,
    pooler: config.pooler,
    newestVersion: version,
    tenantId,
    fix,
  });
  for await (const statement of statements) report.tell(statement);
  return report.end() ? 0 : 1;
});
