import type { Cluster } from './cluster.ts';
import { runBare, runDdl } from './peers.ts';
import { provision } from './provision.ts';
import type { Recording } from './recording.ts';
import { startService } from './service.ts';
import { writesOf } from './transaction-ids.ts';

/** Milliseconds per tenant of each contender in one round. */
export interface Round {
  /** The service's worker, the tenants being accepted. */
  readonly ours: number;
  /** The service, from the acceptance of the creates, which go on meanwhile. */
  readonly accepting: number;
  readonly bare: number;
  readonly ddl: number;
}

export interface ContestOptions {
  readonly cluster: Cluster;
  readonly recording: Recording;
  readonly concurrency: number;
  readonly rounds: number;
  /** Of each contender in each round. */
  readonly tenants: number;
}

/**
 * Alternating rounds of the service and its peers on one server. The service's database is `ours`; the peers' are made
 * as copies of it, so all begin with the same tenants. What comes before the first round is not counted.
 */
export async function contest(options: ContestOptions): Promise<Round[]> {
  const { cluster, recording, concurrency, rounds, tenants } = options;
  const made = Number((await cluster.query('SELECT count(*) FROM tenants', 'ours'))[0]?.count);
  const peerOn = async (database: string) => {
    await cluster.createDatabase(database, 'ours');
    return { cluster, database, recording, concurrency, count: tenants };
  };
  const [bare, ddl] = [await peerOn(`bare_${made}`), await peerOn(`ddl_${made}`)];
  await using service = await startService({ cluster, database: 'ours', concurrency, role: 'api' });
  await using worker = await startService({ cluster, database: 'ours', concurrency, role: 'worker' });
  const administrator = await cluster.connect('ours');
  await using _ = { [Symbol.asyncDispose]: () => administrator.end() };

  const ours = { service, administrator, count: tenants, atOnce: 2 * concurrency };
  const runOurs = async (name: string) =>
    (await provision({ ...ours, worker, label: `queued-${made}-${name}` })).times.fromTaking;
  const runAccepting = async (name: string) =>
    (await provision({ ...ours, label: `accepting-${made}-${name}` })).times.fromAcceptance;

  const [{ writes: oursWrites }, { writes: bareWrites }] = [
    await writesOf(administrator, tenants, () => runOurs('warm')),
    await writesOf(administrator, tenants, () => runBare(bare)),
  ];
  // In ours are the creates, a transaction each, and what is behind savepoints.
  if (Math.abs(oursWrites - 1 - recording.savepoints - bareWrites) >= 1)
    throw new Error(`the service writes in ${oursWrites} transactions per tenant, the peer in ${bareWrites}`);
  await runAccepting('warm');
  await runDdl(ddl);

  const counted: Round[] = [];
  for (let number = 1; number <= rounds; number++) {
    counted.push({
      ours: (await runOurs(`${number}`)) / tenants,
      accepting: (await runAccepting(`${number}`)) / tenants,
      bare: (await runBare(bare)) / tenants,
      ddl: (await runDdl(ddl)) / tenants,
    });
  }
  return counted;
}
