import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PrismaPg } from '@prisma/adapter-pg';
import {
  bindMigrationAwareSqlAdapterFactory,
  type SqlMigrationAwareDriverAdapterFactory,
} from '@prisma/driver-adapter-utils';
import type { MigrationList, SchemaEngine } from '@prisma/schema-engine-wasm';
import pg from 'pg';
import { scriptLock } from './advisory-locks.ts';
import type { DatabaseSettings } from './database-settings.ts';

/**
 * Runs `work` with Prisma's schema engine, in its WebAssembly build, on a database. It is loaded here and not at the
 * top: few starts need it, and it costs 100 ms and more.
 */
export async function withSchemaEngine<T>(
  settings: DatabaseSettings,
  work: (engine: SchemaEngine) => Promise<T>,
): Promise<T> {
  const { SchemaEngine } = await withoutWasmWarning(() => import('@prisma/schema-engine-wasm'));
  // The engine never closes what it connects: the pool is ours.
  const pool = new pg.Pool({ ...settings, max: 1 });
  const refusals: unknown[] = [];
  const adapter = bindMigrationAwareSqlAdapterFactory(
    withWholeScripts(new PrismaPg(pool), (error) => refusals.push(error)),
  );
  const ignoreLogLine = () => {};
  const engine = await SchemaEngine.new({ datamodels: undefined }, ignoreLogLine, adapter);
  try {
    return await work(engine);
  } catch (error) {
    // The engine says "external connector error"; what PostgreSQL said is of use.
    throw refusals[0] ?? error;
  } finally {
    engine.free();
    await pool.end();
  }
}

/**
 * The adapter splits scripts at every semicolon, also inside function bodies and comments. PostgreSQL takes a script
 * whole, and then as one transaction. In it the migration, if the script is one, is also noted as finished, which the
 * engine does afterwards, and a process that dies in between would not: so an unfinished one has left nothing.
 */
function withWholeScripts(
  factory: PrismaPg,
  onRefusal: (error: unknown) => void,
): SqlMigrationAwareDriverAdapterFactory {
  return {
    provider: factory.provider,
    adapterName: factory.adapterName,
    connectToShadowDb: () => factory.connectToShadowDb(),
    async connect() {
      const adapter = await factory.connect();
      adapter.executeScript = async (script) => {
        try {
          await adapter.underlyingDriver().query(`${holdLockSql};\n${script}\n;${noteFinishedSql}`);
        } catch (error) {
          onRefusal(error);
          throw error;
        }
      };
      return adapter;
    },
  };
}

const holdLockSql = `SELECT pg_advisory_xact_lock(${scriptLock})`;

/** Waits until no session runs a script any more that a killed process has sent. */
export async function pastScripts(client: pg.ClientBase): Promise<void> {
  await client.query(holdLockSql);
}

const noteFinishedSql = `UPDATE "_prisma_migrations" SET "finished_at" = now() WHERE "finished_at" IS NULL AND "rolled_back_at" IS NULL`;

/** A directory of Prisma migrations as the schema engine takes it. */
export async function readMigrationList(directory: string): Promise<MigrationList> {
  const entries = await readdir(directory, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  return {
    baseDir: directory,
    lockfile: {
      path: './migration_lock.toml',
      content: await readFile(join(directory, 'migration_lock.toml'), 'utf8'),
    },
    shadowDbInitScript: '',
    migrationDirectories: await Promise.all(
      names.sort().map(async (name) => ({
        path: name,
        migrationFile: {
          path: 'migration.sql',
          content: {
            tag: 'ok' as const,
            value: await readFile(join(directory, name, 'migration.sql'), 'utf8'),
          },
        },
      })),
    ),
  };
}

/** Node 24 calls the import of WebAssembly modules experimental, once per process; that one warning is not shown. */
async function withoutWasmWarning<T>(load: () => Promise<T>): Promise<T> {
  const { emitWarning } = process;
  const quiet = (...args: unknown[]): void => {
    if (!String(args[0]).includes('WebAssembly')) Reflect.apply(emitWarning, process, args);
  };
  process.emitWarning = quiet;
  try {
    return await load();
  } finally {
    process.emitWarning = emitWarning;
  }
}
