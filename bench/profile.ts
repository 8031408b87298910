import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from './cluster.ts';
import { type CpuTime, cpuTimes } from './cpu-profile.ts';
import { provision } from './provision.ts';
import { startService } from './service.ts';

const tenants = 200;

/** Where the time of a tenant goes, each in milliseconds per tenant. */
export interface Profile {
  /** Wall time of each step, its first word to its last, in their order. */
  readonly steps: readonly { readonly name: string; readonly milliseconds: number }[];
  /** Wall time of the whole operation, from when a worker took it. */
  readonly operation: number;
  /** CPU time of the service's process by part. */
  readonly cpu: readonly CpuTime[];
}

/** Runs the service under V8's profiler, one tenant after the other, in its database `ours`. */
export async function profile(cluster: Cluster): Promise<Profile> {
  const directory = await mkdtemp(join(cluster.directory, 'profile-'));
  const from = await run(cluster, directory);
  const cpu = await cpuTimes(directory, from.begin, from.end);
  const steps = await cluster.query(
    `SELECT step.name, avg(extract(epoch FROM step.finished_at - step.started_at))::float8 * 1000 AS milliseconds
     FROM operation_steps AS step JOIN operations AS o ON o.id = operation_id JOIN tenants AS t ON t.id = tenant_id
     WHERE subdomain LIKE 'profile-%' GROUP BY step.name, position ORDER BY position`,
    'ours',
  );
  const [whole] = await cluster.query(
    `SELECT avg(extract(epoch FROM finished_at - started_at))::float8 * 1000 AS milliseconds
     FROM operations JOIN tenants AS t ON t.id = tenant_id WHERE subdomain LIKE 'profile-%'`,
    'ours',
  );
  return {
    steps: steps.map(({ name, milliseconds }) => ({
      name: String(name),
      milliseconds: Number(milliseconds),
    })),
    operation: Number(whole?.milliseconds),
    cpu: cpu.map(({ part, milliseconds }) => ({ part, milliseconds: milliseconds / tenants })),
  };
}

async function run(cluster: Cluster, directory: string): Promise<{ begin: bigint; end: bigint }> {
  await using service = await startService({
    cluster,
    database: 'ours',
    concurrency: 1,
    nodeOptions: ['--cpu-prof', `--cpu-prof-dir=${directory}`],
  });
  const administrator = await cluster.connect('ours');
  await using _ = { [Symbol.asyncDispose]: () => administrator.end() };
  const some = { service, administrator, atOnce: 2 };
  await provision({ ...some, label: 'unprofiled', count: 50 });
  const begin = process.hrtime.bigint();
  await provision({ ...some, label: 'profile', count: tenants });
  return { begin, end: process.hrtime.bigint() };
}
