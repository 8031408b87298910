import type pg from 'pg';
import { eventually } from '../test/support/eventually.ts';
import type { Service } from './service.ts';

export interface ProvisionOptions {
  /** Accepts the tenants. */
  readonly service: Service;
  /** The superuser, on the service's database. */
  readonly administrator: pg.Client;
  /** What the tenants' subdomains begin with; new for each call. */
  readonly label: string;
  readonly count: number;
  /** Creates in flight: more than the worker's concurrency, so that it always finds work. */
  readonly atOnce: number;
  /** A process of its own that does the work; it is kept from it until all tenants are accepted. */
  readonly worker?: Service;
}

/** Milliseconds, all by the database's clock. */
export interface ProvisionTimes {
  /** From the acceptance of the first create to the end of the last operation. */
  readonly fromAcceptance: number;
  /** From when the first operation is taken. */
  readonly fromTaking: number;
}

interface Progress extends ProvisionTimes {
  /** Why the first of them failed. */
  readonly reason: string | null;
  readonly succeeded: number;
  readonly failed: number;
}

const nothing: Progress = { reason: null, succeeded: 0, failed: 0, fromAcceptance: 0, fromTaking: 0 };

const progressSql = `
SELECT count(*) FILTER (WHERE state = 'SUCCEEDED')::int AS succeeded,
  count(*) FILTER (WHERE state = 'FAILED')::int AS failed,
  min(operations.error) AS reason,
  extract(epoch FROM max(finished_at) - min(operations.created_at))::float8 * 1000 AS "fromAcceptance",
  extract(epoch FROM max(finished_at) - min(started_at))::float8 * 1000 AS "fromTaking"
FROM operations JOIN tenants ON tenants.id = tenant_id WHERE subdomain LIKE $1`;

/** Creates tenants and waits until all are active. */
export async function provision(
  options: ProvisionOptions,
): Promise<{ ids: string[]; times: ProvisionTimes }> {
  const { service, administrator, label, count, atOnce, worker } = options;
  worker?.freeze();
  const ids: string[] = [];
  let begun = 0;
  const creating = Array.from({ length: atOnce }, async () => {
    while (begun < count) ids.push(await service.createTenant(`${label}-${begun++}`));
  });
  await Promise.all(creating);
  worker?.thaw();
  const { failed, reason, ...times } = await eventually(
    async () => {
      const { rows } = await administrator.query<Progress>(progressSql, [`${label}-%`]);
      const [{ succeeded, ...progress } = nothing] = rows;
      return succeeded + progress.failed === count && progress;
    },
    60_000 + 1_000 * count,
  );
  if (failed > 0) throw new Error(`${failed} of ${count} tenants failed: ${reason}`);
  return { ids, times };
}
