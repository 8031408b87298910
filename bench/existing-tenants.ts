import type { Cluster } from './cluster.ts';
import { provision } from './provision.ts';
import { startService } from './service.ts';

const concurrency = 4;
/** So that no wait is long and the run can tell how far it is. */
const atATime = 500;

/** Lets the service make tenants in its database, `ours`, until there are `existing`; 0 leaves the empty registry. */
export async function fillUp(
  cluster: Cluster,
  existing: number,
  tell: (made: number) => void,
): Promise<void> {
  const service = await startService({ cluster, database: 'ours', concurrency });
  const administrator = await cluster.connect('ours');
  try {
    const { rows } = await administrator.query('SELECT count(*)::int AS made FROM tenants');
    for (let made: number = rows[0].made; made < existing; ) {
      const count = Math.min(atATime, existing - made);
      await provision({ service, administrator, label: `fill-${made}`, count, atOnce: 2 * concurrency });
      made += count;
      tell(made);
    }
  } finally {
    await administrator.end();
    await service[Symbol.asyncDispose]();
  }
  await housekeep(cluster, 'ours');
}

/** What the server would do in the background within minutes, so that it does not do so in the midst of the rounds. */
export async function housekeep(cluster: Cluster, database: string): Promise<void> {
  const administrator = await cluster.connect(database);
  try {
    const { rows } = await administrator.query<{ tables: string }>(
      `SELECT string_agg(oid::regclass::text, ', ') AS tables FROM pg_class
       WHERE relkind = 'r' AND relnamespace IN ('pg_catalog'::regnamespace, 'public'::regnamespace, 'graphile_worker'::regnamespace)`,
    );
    await administrator.query(`VACUUM (ANALYZE) ${rows[0]?.tables}`);
    await administrator.query('CHECKPOINT');
  } finally {
    await administrator.end();
  }
}
