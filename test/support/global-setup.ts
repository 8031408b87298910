import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { TestProject } from 'vitest/node';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { startEmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { migrateRegistry, underMigrationLock } from '../../src/db/registry-migrator.ts';

export interface Cluster {
  readonly administrator: DatabaseSettings;
  readonly registry: DatabaseSettings;
  /** A migrated database that test files clone. */
  readonly template: string;
}

declare module 'vitest' {
  export interface ProvidedContext {
    cluster: Cluster;
  }
}

/** One PostgreSQL for the whole run, of the project's own binaries, on a fresh directory that goes with it. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const dataDir = await mkdtemp(join(tmpdir(), 'tms-test-'));
  await chmod(dataDir, 0o711);
  const postgres = await startEmbeddedPostgres({
    dataDir,
    // Tests lose nothing that matters when the machine dies.
    settings: { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off', max_connections: '300' },
    log: () => {},
  });
  const { administrator, registry } = postgres;
  const stop = async () => {
    await postgres[Symbol.asyncDispose]();
    await rm(dataDir, { recursive: true, force: true });
  };
  try {
    await migrateTemplate(registry);
  } catch (error) {
    await stop();
    throw error;
  }
  project.provide('cluster', { administrator, registry, template: registry.database });
  return stop;
}

async function migrateTemplate(registry: DatabaseSettings): Promise<void> {
  await underMigrationLock(registry, (client) => migrateRegistry(registry, client));
  // A template may have no sessions; those of the migration are closing.
  const client = new pg.Client({ ...registry, database: 'postgres' });
  await client.connect();
  const deadline = Date.now() + 5_000;
  for (;;) {
    const { rowCount } = await client.query('SELECT FROM pg_stat_activity WHERE datname = $1', [
      registry.database,
    ]);
    if (rowCount === 0) break;
    if (Date.now() > deadline) throw new Error('the template database still has sessions');
  }
  await client.end();
}
