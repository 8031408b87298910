import type pg from 'pg';
import { eventually } from '../test/support/eventually.ts';
import type { Service } from './service.ts';

export interface ProvisionOptions {
  readonly service: Service;
  /** The superuser, on the service's database. */
  readonly administrator: pg.Client;
  /** What the tenants' subdomains begin with; new for each call. */
  readonly label: string;
  readonly count: number;
  /** Creates in flight: more than the worker's concurrency, so that it always finds work. */
  readonly atOnce: number;
}

const progressSql = `
SELECT count(*) FILTER (WHERE state = 'SUCCEEDED')::int AS succeeded,
  count(*) FILTER (WHERE state = 'FAILED')::int AS failed,
  extract(epoch FROM max(finished_at) - min(operations.created_at))::float8 * 1000 AS milliseconds
FROM operations JOIN tenants ON tenants.id = tenant_id WHERE subdomain LIKE $1`;

/**
 * Creates tenants and waits until all are active.
 * @returns how long that took, from the acceptance of the first create to the end of the last operation, both by the
 * database's clock
 */
export async function provision(options: ProvisionOptions): Promise<{ ids: string[]; milliseconds: number }> {
  const { service, administrator, label, count, atOnce } = options;
  const ids: string[] = [];
  let begun = 0;
  const creating = Array.from({ length: atOnce }, async () => {
    while (begun < count) ids.push(await service.createTenant(`${label}-${begun++}`));
  });
  await Promise.all(creating);
  const milliseconds = await eventually(
    async () => {
      const { rows } = await administrator.query(progressSql, [`${label}-%`]);
      const { succeeded, failed, milliseconds } = rows[0];
      return succeeded + failed === count && { failed, milliseconds };
    },
    60_000 + 1_000 * count,
  ).then(({ failed, milliseconds }) => {
    if (failed > 0) throw new Error(`${failed} of ${count} tenants failed`);
    return Number(milliseconds);
  });
  return { ids, milliseconds };
}
