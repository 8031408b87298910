/** A file of tenant migrations. */
export interface TenantMigration {
  /** Counts from 1. */
  readonly version: number;
  /** The file's name. */
  readonly name: string;
  /** SHA-256 of the content with CRLF as LF, hexadecimal. */
  readonly checksum: string;
  /** False for a file that runs outside of a transaction. */
  readonly transactional: boolean;
}

/** Files that run in one transaction as one script, or a single marked file that runs apart. */
export interface MigrationScript {
  readonly transactional: boolean;
  readonly files: readonly TenantMigration[];
  readonly sql: string;
  /** The script, file by file. */
  readonly parts: readonly MigrationSource[];
}

export interface MigrationSource {
  readonly file: TenantMigration;
  readonly sql: string;
}

// Neither a missing semicolon nor a comment at the end of a file reaches the next one.
const separator = '\n;\n';

/** The fewest scripts that run the files in their order. */
export function compileScripts(sources: readonly MigrationSource[]): readonly MigrationScript[] {
  const runs: [MigrationSource, ...MigrationSource[]][] = [];
  for (const source of sources) {
    const run = runs.at(-1);
    if (run?.[0].file.transactional && source.file.transactional) run.push(source);
    else runs.push([source]);
  }
  return runs.map(compileScript);
}

function compileScript(parts: [MigrationSource, ...MigrationSource[]]): MigrationScript {
  return {
    transactional: parts[0].file.transactional,
    files: parts.map(({ file }) => file),
    sql: parts.map(({ sql }) => sql).join(separator),
    parts,
  };
}
