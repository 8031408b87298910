import type { SqlSession } from '../core/ports.ts';
import type { TenantMigration } from './migration-script.ts';
import { PermanentStepError, StepError } from './step.ts';
import type { TenantMigrations } from './tenant-migrations.ts';

/** What the first tenant got under a version. */
export type RecordedMigration = Pick<TenantMigration, 'version' | 'name' | 'checksum'>;

/** A file that tenants have is another one by now, or gone; the message is one line and says what to do. */
export class MigrationsChangedError extends PermanentStepError {
  constructor(what: string) {
    super(`--tenant-migrations: ${what}`);
  }
}

/**
 * Compares the files with what tenants got.
 * @throws {MigrationsChangedError} naming the first file that was edited, renumbered, renamed or is missing
 */
export function refuseChangedMigrations(
  migrations: Pick<TenantMigrations, 'files'>,
  recorded: readonly RecordedMigration[],
): void {
  for (const entry of recorded) {
    const { version, name, checksum } = entry;
    const file = migrations.files.find((other) => other.version === version);
    if (file?.name === name) {
      if (file.checksum === checksum) continue;
      throw new MigrationsChangedError(
        `${name} was changed after tenants got it; put it back as it was and add a new file`,
      );
    }
    const successor = successorOf(entry, migrations.files, recorded);
    throw new MigrationsChangedError(
      successor
        ? `${name} is ${successor.name} now; give it the name back under which tenants got it, and number new files behind the last one`
        : `${name} was applied to tenants and is missing; put it back`,
    );
  }
}

/** The file that the recorded one seems to have become: one with its content, or else with its name after the number. */
function successorOf(
  entry: RecordedMigration,
  files: readonly TenantMigration[],
  recorded: readonly RecordedMigration[],
): TenantMigration | undefined {
  const own = new Set(recorded.map(({ name }) => name));
  const others = files.filter(({ name }) => !own.has(name));
  return (
    others.find(({ checksum }) => checksum === entry.checksum) ??
    others.find(({ name }) => withoutNumber(name) === withoutNumber(entry.name))
  );
}

function withoutNumber(name: string): string {
  return name.slice(name.indexOf('_'));
}

// Qualified: the session's search_path may be a tenant's, which may have a table of this name.

/** What tenants of this registry got, in order. */
export async function readLedger(sql: SqlSession): Promise<RecordedMigration[]> {
  const rows = await sql.query(
    'SELECT version, name, checksum FROM public.tenant_migrations ORDER BY version',
  );
  return rows.map(({ version, name, checksum }) => ({
    version: Number(version),
    name: String(name),
    checksum: String(checksum),
  }));
}

/**
 * Records what a tenant got, unless a tenant had it before: read the ledger afterwards and compare. A worker that records
 * the same version at the same time waits here for the other's transaction, so this belongs to the end of one.
 */
export async function recordMigrations(sql: SqlSession, files: readonly RecordedMigration[]): Promise<void> {
  await sql.query(
    `INSERT INTO public.tenant_migrations (version, name, checksum)
     SELECT * FROM unnest($1::int[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING`,
    [
      files.map(({ version }) => version),
      files.map(({ name }) => name),
      files.map(({ checksum }) => checksum),
    ],
  );
}

/**
 * Whether tenants got all of these files before.
 * @throws {MigrationsChangedError} when they got others under these numbers
 * @throws when they got later ones: a worker that has those may come next
 */
export async function areRecorded(
  sql: SqlSession,
  migrations: Pick<TenantMigrations, 'files'>,
  files: readonly RecordedMigration[],
): Promise<boolean> {
  const recorded = await readLedger(sql);
  const isAhead = ({ version }: RecordedMigration) => version > migrations.files.length;
  refuseChangedMigrations(
    migrations,
    recorded.filter((entry) => !isAhead(entry)),
  );
  const ahead = recorded.find(isAhead);
  if (ahead) {
    throw new StepError(
      `--tenant-migrations: tenants have ${ahead.name}, and this worker lacks it; restart it with it`,
    );
  }
  const versions = new Set(recorded.map(({ version }) => version));
  return files.every(({ version }) => versions.has(version));
}
