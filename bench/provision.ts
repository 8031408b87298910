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

interface Outcome extends ProvisionTimes {
  /** Why the first of them failed. */
  readonly reason: string | null;
  readonly succeeded: number;
}

const nothing: Outcome = { reason: null, succeeded: 0, fromAcceptance: 0, fromTaking: 0 };

// By its small index, and seldom: what is asked while the worker is measured is to cost next to nothing.
const unfinishedSql = `SELECT FROM operations WHERE state IN ('PENDING', 'RUNNING') LIMIT 1`;

const outcomeSql = `
SELECT count(*) FILTER (WHERE state = 'SUCCEEDED')::int AS succeeded,
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
  await eventually(
    async () => (await administrator.query(unfinishedSql)).rowCount === 0,
    60_000 + 1_000 * count,
    250,
  );
  const { rows } = await administrator.query<Outcome>(outcomeSql, [`${label}-%`]);
  const [{ succeeded, reason, ...times } = nothing] = rows;
  if (succeeded < count) throw new Error(`${count - succeeded} of ${count} tenants failed: ${reason}`);
  return { ids, times };
}
