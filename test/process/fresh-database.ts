import { inject } from 'vitest';
import { createEmptyDatabase, type TestDatabase } from '../support/database.ts';

/** An empty database of the service's on the run's cluster. */
export async function createFreshDatabase(): Promise<TestDatabase> {
  const { administrator, registry } = inject('cluster');
  return createEmptyDatabase(administrator, registry);
}
