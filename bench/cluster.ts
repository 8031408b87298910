import { chmod, mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import type { DatabaseSettings } from '../src/db/database-settings.ts';
import { startEmbeddedPostgres } from '../src/db/embedded-postgres.ts';
import { startOf } from './ending.ts';

/** A private PostgreSQL of the project's own binaries, on loopback and in a fresh directory. */
export interface Cluster extends AsyncDisposable {
  /** What belongs to it may be kept there. */
  readonly directory: string;
  /** Where it writes its log, as JSON lines. */
  readonly logDirectory: string;
  /** The service's own role, no superuser, on a database of this cluster. */
  service(database: string): DatabaseSettings;
  /** The superuser, on a database of this cluster. */
  administrator(database: string): DatabaseSettings;
  /** A database that the service's role owns: a copy of `template`, which must have no sessions. */
  createDatabase(name: string, template?: string): Promise<void>;
  /** A connection of the superuser's; whoever opens it ends it. */
  connect(database: string): Promise<pg.Client>;
  /** One statement of the superuser's. */
  query(sql: string, database?: string): Promise<Record<string, unknown>[]>;
}

/**
 * Starts it as the service starts its own (every commit reaches the disk), with two settings more: a log that can be
 * read by a program, empty until a database asks for it, and the times of commits.
 * @param parent where its directory is made; it stays there
 */
export function startCluster(parent: string): Promise<Cluster> {
  return startOf(async (parts) => {
    const directory = await mkdtemp(join(parent, 'cluster-'));
    // As root, PostgreSQL runs as another user.
    await chmod(directory, 0o711);
    const postgres = parts.use(
      await startEmbeddedPostgres({
        dataDir: directory,
        settings: { logging_collector: 'on', log_destination: 'jsonlog', track_commit_timestamp: 'on' },
        log: () => {},
      }),
    );
    const connect = async (database: string) => {
      const client = new pg.Client({ ...postgres.administrator, database });
      client.on('error', () => {});
      await client.connect();
      return client;
    };
    const query = async (sql: string, database = 'postgres') => {
      const client = await connect(database);
      try {
        return (await client.query<Record<string, unknown>>(sql)).rows;
      } finally {
        await client.end();
      }
    };
    return {
      directory,
      logDirectory: join(directory, 'postgres', 'log'),
      service: (database) => ({ ...postgres.registry, database }),
      administrator: (database) => ({ ...postgres.administrator, database }),
      async createDatabase(name, template = 'template0') {
        await query(
          `CREATE DATABASE ${name} OWNER ${postgres.registry.user} TEMPLATE ${template} STRATEGY file_copy`,
        );
      },
      connect,
      query,
    };
  });
}
