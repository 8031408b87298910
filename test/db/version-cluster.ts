import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { startEmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { createEmptyDatabase, type TestDatabase } from '../support/database.ts';
import type { PostgresVersion } from '../support/postgres-versions.ts';

export interface VersionCluster extends AsyncDisposable {
  /** The superuser, in the database `postgres`. */
  readonly administrator: DatabaseSettings;
  /** The service's role, in an empty database that it owns. */
  emptyDatabase(): Promise<TestDatabase>;
}

/** A PostgreSQL of this version, set up by the administrator's script alone. */
export async function startVersionCluster(version: PostgresVersion): Promise<VersionCluster> {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'tms-version-'));
  await chmod(dataDir, 0o711);
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const postgres = stack.use(
    await startEmbeddedPostgres({
      dataDir,
      binaries: await version.binaries(),
      settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' },
      log: () => {},
    }),
  );
  const { administrator, registry } = postgres;
  const running = stack.move();
  return {
    administrator,
    emptyDatabase: () => createEmptyDatabase(administrator, registry),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
