import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { createCluster, SUPERUSER } from '../../src/db/embedded-cluster.ts';
import { startServer, stopServer } from '../../src/db/embedded-server.ts';
import { postgresAccount } from '../../src/db/postgres-account.ts';
import { embeddedBinaries, type PostgresBinaries } from '../../src/db/postgres-binaries.ts';
import { isRunning } from '../../src/db/process-identity.ts';
import { eventually } from './eventually.ts';

export interface PostgresVersion {
  readonly version: string;
  /** For `describe`: says so when the version is missing here. */
  readonly title: string;
  readonly available: boolean;
  /** @throws when it is not available */
  binaries(): Promise<PostgresBinaries>;
}

const debian15 = '/usr/lib/postgresql/15/bin';

/** The versions that what depends on PostgreSQL is held against: the embedded one, and Debian's where it is installed. */
export const postgresVersions: readonly PostgresVersion[] = [
  { version: '18', title: 'PostgreSQL 18', available: true, binaries: embeddedBinaries },
  {
    version: '15',
    title: existsSync(debian15)
      ? 'PostgreSQL 15'
      : `PostgreSQL 15 is skipped: there is no ${debian15} (Debian's postgresql-15)`,
    available: existsSync(debian15),
    binaries: async () => ({ postgres: `${debian15}/postgres`, initdb: `${debian15}/initdb` }),
  },
];

/** A cluster that knows nobody but its superuser; nothing of ours has prepared it. */
export interface BareCluster extends AsyncDisposable {
  readonly administrator: DatabaseSettings;
  stop(): Promise<void>;
  /** As a machine that dies: nobody is told. */
  kill(): Promise<void>;
  /** Again, on the same port. */
  start(): Promise<void>;
}

/**
 * Makes a cluster in `directory` and starts it on 127.0.0.1.
 * @param options `port`: any free one when it is absent
 */
export async function startBareCluster(options: {
  directory: string;
  binaries: PostgresBinaries;
  port?: number;
}): Promise<BareCluster> {
  const { directory, binaries } = options;
  const account = await postgresAccount();
  const cluster = join(directory, 'postgres');
  const password = 'superuser';
  await createCluster({ path: cluster, password, binaries, account });
  const logFile = join(directory, 'postgres.log');
  const settings: Record<string, string> = { fsync: 'off', max_connections: '60' };
  if (options.port !== undefined) settings.port = String(options.port);
  const launch = () => startServer({ cluster, logFile, binaries, account, settings }, () => {});
  let server = await launch();
  // It begins as initdb left it, on the port that it has now.
  settings.port = String(server.port);
  const stop = () => stopServer(server.process);
  return {
    administrator: {
      host: '127.0.0.1',
      port: server.port,
      user: SUPERUSER,
      password,
      database: 'postgres',
      ssl: false,
    },
    stop,
    async kill() {
      process.kill(server.process.pid, 'SIGKILL');
      await eventually(async () => !(await isRunning(server.process)), 10_000);
    },
    async start() {
      server = await launch();
    },
    [Symbol.asyncDispose]: stop,
  };
}
