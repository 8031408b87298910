import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The SQL files that every tenant's schema is made from. */
export interface TenantMigrations {
  /** The version that a schema has when all files are applied; 0 when there are none. */
  readonly version: number;
  /** One script that brings a schema from `version` to the newest. */
  scriptFrom(version: number): string;
}

/**
 * Reads the files of a directory, `0001_name.sql`, `0002_…` and so on.
 * @throws when a file is named otherwise, a number is missing or occurs twice, or there is no file
 */
export async function readTenantMigrations(directory: string): Promise<TenantMigrations> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.sql')).sort();
  if (names.length === 0) {
    throw new Error(
      `--tenant-migrations takes a directory of SQL files like 0001_name.sql; ${directory} has none`,
    );
  }
  names.forEach((name, index) => {
    const expected = String(index + 1).padStart(4, '0');
    if (!/^\d{4}_[a-z0-9_-]+\.sql$/.test(name) || !name.startsWith(`${expected}_`)) {
      throw new Error(
        `--tenant-migrations takes files numbered without gaps; expected ${expected}_….sql, found ${name}`,
      );
    }
  });
  const files = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
  const scripts = files.map((_, version) => files.slice(version).join('\n;\n'));
  return { version: files.length, scriptFrom: (version) => scripts[version] ?? '' };
}
