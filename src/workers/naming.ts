import type { TenantMigration } from './migration-script.ts';

/** Runs a file's SQL; an error says which file it is of, and none of the tenant's values. */
export async function naming(file: TenantMigration, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw new Error(`${file.name}: ${withoutValues(error)}`, { cause: error });
  }
}

/** What class 22, data exceptions, puts in quotes is data: `invalid input syntax for type integer: "a note"`. */
function withoutValues(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const state: unknown = Reflect.get(error, 'code');
  if (typeof state !== 'string' || !state.startsWith('22')) return error.message;
  // To the last quote: the value may hold some.
  return error.message.replace(/".*"/s, '[redacted]');
}
