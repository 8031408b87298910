import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type pg from 'pg';
import type { Cluster } from './cluster.ts';
import { startOf } from './ending.ts';
import type { PoolAnswer, PoolTask } from './pool-process.ts';

const sampleMs = 20;
/** What a contender may take on top of its load, milliseconds. */
const graceMs = 60_000;

export interface PoolRound extends PoolAnswer {
  /** The most connections into tenants' schemas that the server had at once. */
  readonly peak: number;
  /** Memory of the server's side of them at the end, MiB; shared memory by its share. Null where it cannot be read. */
  readonly backends: number | null;
}

/** One contender, one load, in a process of its own. */
export async function runRound(cluster: Cluster, task: PoolTask): Promise<PoolRound> {
  const administrator = await cluster.connect(task.options.service.database);
  await using _ = { [Symbol.asyncDispose]: () => administrator.end() };
  await using child = await startOf(async (parts) => {
    const process = fork(join(import.meta.dirname, 'pool-process.ts'));
    const exited = once(process, 'exit');
    parts.defer(async () => {
      process.kill('SIGKILL');
      await exited;
    });
    return { process, exited };
  });
  const late = setTimeout(() => child.process.kill('SIGKILL'), task.seconds * 1_000 + graceMs);
  child.process.send(task);
  const answered = new AbortController();
  const peak = peakOf(administrator, answered.signal);
  const [answer] = await Promise.race([
    once(child.process, 'message'),
    child.exited.then((): never => {
      throw new Error(`the contender "${task.contender}" ended without an answer`);
    }),
  ]);
  answered.abort();
  const connections = await peak;
  const backends = await memoryOf(administrator);
  child.process.send('done');
  await child.exited;
  clearTimeout(late);
  return { ...answer, peak: connections, backends };
}

const ofTenants = `FROM pg_stat_activity WHERE backend_type = 'client backend' AND (usename LIKE 'tenant\\_%\\_app' OR application_name = 'contender')`;

async function peakOf(administrator: pg.Client, answered: AbortSignal): Promise<number> {
  let peak = 0;
  while (!answered.aborted) {
    const { rows } = await administrator.query(`SELECT count(*)::int AS count ${ofTenants}`);
    peak = Math.max(peak, rows[0].count);
    await pause(sampleMs);
  }
  return peak;
}

async function memoryOf(administrator: pg.Client): Promise<number | null> {
  const { rows } = await administrator.query<{ pid: number }>(`SELECT pid ${ofTenants}`);
  try {
    const texts = await Promise.all(rows.map(({ pid }) => readFile(`/proc/${pid}/smaps_rollup`, 'utf8')));
    return texts.reduce((sum, text) => sum + Number(/^Pss:\s+(\d+) kB/m.exec(text)?.[1]), 0) / 1024;
  } catch {
    return null;
  }
}
