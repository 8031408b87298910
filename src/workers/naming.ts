import type { TenantMigration } from './migration-script.ts';
import { StepError } from './step.ts';
import { reasonOf } from './step-reason.ts';

/** Runs a file's SQL; the reason of a failure says which file it is of. */
export async function naming(file: TenantMigration, work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    throw namedAfter([file], error);
  }
}

/** The error of one of these files. */
export function namedAfter(files: readonly TenantMigration[], error: unknown): StepError {
  const [first, last] = [files.at(0)?.name, files.at(-1)?.name];
  const which = first === last ? first : `${first} to ${last}`;
  const reason = /transaction commands/.test(String(error))
    ? 'BEGIN, COMMIT and ROLLBACK are the service’s, take them out'
    : reasonOf(error);
  return new StepError(`${which}: ${reason}`, { cause: error });
}
