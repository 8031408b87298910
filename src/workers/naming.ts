import type { TenantMigration } from './migration-script.ts';
import { StepError } from './step.ts';
import { reasonOf } from './step-reason.ts';

/** Runs a file's SQL; the reason of a failure says which file it is of. */
export async function naming(file: TenantMigration, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw new StepError(`${file.name}: ${reasonOf(error)}`, { cause: error });
  }
}
