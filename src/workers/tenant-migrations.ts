import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type RecordedMigration, refuseChangedMigrations } from './migration-ledger.ts';
import {
  compileScripts,
  type MigrationScript,
  type MigrationSource,
  type TenantMigration,
} from './migration-script.ts';

/** The SQL files that every tenant's schema is made from. */
export interface TenantMigrations {
  /** The version that a schema has when all files are applied. */
  readonly version: number;
  /** In order: the first one has version 1. */
  readonly files: readonly TenantMigration[];
  /** The scripts that bring a schema from `version` to the newest, in order: compiled once per version. */
  scriptsFrom(version: number): readonly MigrationScript[];
}

/** What tells that a file is to run outside of a transaction; sqlx has the same line. */
const apart = /^-- no-transaction[ \t]*(\n|$)/;

/**
 * Reads the files of a directory, `0001_name.sql`, `0002_…` and so on.
 * @param recorded what tenants got before
 * @throws when a file is named otherwise, is empty or no UTF-8, a number is missing or occurs twice, or there is no file
 * @throws {MigrationsChangedError} when a file that tenants have is another one by now
 */
export async function readTenantMigrations(
  directory: string,
  recorded: readonly RecordedMigration[],
): Promise<TenantMigrations> {
  const names = (await readable(directory, readdir(directory)))
    .filter((name) => name.endsWith('.sql'))
    .sort();
  if (names.length === 0) {
    throw new Error(
      `--tenant-migrations takes a directory of SQL files like 0001_name.sql; ${directory} has none`,
    );
  }
  const sources = await Promise.all(names.map((name) => readMigration(directory, name)));
  const files = sources.map(({ file }) => file);
  refuseChangedMigrations({ files }, recorded);
  refuseGaps(files);
  const compiled: (readonly MigrationScript[])[] = [];
  return {
    version: sources.length,
    files,
    scriptsFrom(version) {
      compiled[version] ??= compileScripts(sources.slice(version));
      return compiled[version];
    },
  };
}

function refuseGaps(files: readonly TenantMigration[]): void {
  const index = files.findIndex(({ version }, before) => version !== before + 1);
  if (index === -1) return;
  const expected = String(index + 1).padStart(4, '0');
  throw new Error(
    `--tenant-migrations takes files numbered without gaps; expected ${expected}_….sql, found ${files[index]?.name}`,
  );
}

async function readMigration(directory: string, name: string): Promise<MigrationSource> {
  const [, number] = /^(\d{4})_[a-z0-9_-]+\.sql$/.exec(name) ?? [];
  if (number === undefined) {
    throw new Error(`--tenant-migrations takes files named like 0001_name.sql; ${name} is not`);
  }
  const sql = decode(name, await readable(name, readFile(join(directory, name)))).replaceAll('\r\n', '\n');
  // It could not be filled later: a file that tenants have is never changed.
  if (sql.trim() === '')
    throw new Error(`--tenant-migrations takes files with SQL in them; ${name} is empty`);
  const checksum = createHash('sha256').update(sql).digest('hex');
  return { file: { version: Number(number), name, checksum, transactional: !apart.test(sql) }, sql };
}

async function readable<T>(what: string, reading: Promise<T>): Promise<T> {
  try {
    return await reading;
  } catch (error) {
    const code = Reflect.get(Object(error), 'code');
    throw new Error(`--tenant-migrations takes a directory of SQL files; ${what} cannot be read (${code})`, {
      cause: error,
    });
  }
}

/** Not leniently: a tenant would get replacement characters for good. A byte order mark is dropped. */
function decode(name: string, bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new Error(`--tenant-migrations takes files in UTF-8; ${name} is not`, { cause: error });
  }
}
