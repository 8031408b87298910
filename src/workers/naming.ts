import type { TenantMigration } from './migration-script.ts';

/** Runs a file's SQL; an error says which file it is of. */
export async function naming(file: TenantMigration, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    throw new Error(`${file.name}: ${message}`, { cause: error });
  }
}
