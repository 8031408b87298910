import { eventually } from '../test/support/eventually.ts';
import type { Cluster } from './cluster.ts';
import { between, mark } from './recording.ts';
import { startService } from './service.ts';

/** What the service sends to PostgreSQL for one accepted create. */
export interface CreateRecording {
  /** In their order, without BEGIN and COMMIT. */
  readonly statements: readonly { readonly sql: string; readonly parameters: readonly (string | null)[] }[];
  /** As it stands in the parameters. */
  readonly subdomain: string;
}

const subdomain = 'recorded-create';

/** Lets a service accept creates in a database, and reads from the server's log what it did for the last one. */
export async function recordCreate(cluster: Cluster, database: string): Promise<CreateRecording> {
  await cluster.query(`ALTER DATABASE ${database} SET log_min_duration_statement = 0`);
  await using service = await startService({ cluster, database, concurrency: 1, role: 'api' });
  const administrator = await cluster.connect(database);
  await using _ = { [Symbol.asyncDispose]: () => administrator.end() };
  await administrator.query('SET log_min_duration_statement = -1');
  // The connection that this one opens is not of interest.
  await service.createTenant('before-the-recorded');
  await mark(administrator, 'create begins');
  await service.createTenant(subdomain);
  await mark(administrator, 'create ends');
  const logged = await eventually(
    () => between(cluster.logDirectory, 'create begins', 'create ends'),
    10_000,
  );
  const statements = logged.filter(({ sql }) => !['BEGIN', 'COMMIT'].includes(sql.trim().toUpperCase()));
  if (
    !statements.some(
      ({ sql, parameters }) => sql.includes('INSERT INTO tenants') && parameters.includes(subdomain),
    )
  )
    throw new Error('the create is not in the log as it is looked for');
  return { statements: statements.map(({ sql, parameters }) => ({ sql, parameters })), subdomain };
}
