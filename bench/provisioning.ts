import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cluster, startCluster } from './cluster.ts';
import { contest, type Round } from './contest.ts';
import { endOnSignal, startOf } from './ending.ts';
import { fillUp } from './existing-tenants.ts';
import { firstEventDelays } from './first-event.ts';
import { describeMachine } from './machine.ts';
import { profile } from './profile.ts';
import { type Recording, record } from './recording.ts';
import { report } from './report.ts';
import { temporaryDirectory } from './temporary-directory.ts';

// The figures of provisioning, beside peers that do the same work without the service. Takes about a quarter of an hour
// and writes RESULTS-PROVISIONING.md. What it starts is private, on loopback, and gone at the end.

const concurrencies = [1, 4, 8];
const existingTenants = [0, 1_000, 5_000];
const existingConcurrency = 4;
const rounds = 7;
/** Of each contender in each round. */
const tenants = 100;
const creates = 500;

endOnSignal();
// Removed at the very end: there are file systems where new files cost more for a while after many were deleted.
await using directory = await startOf(temporaryDirectory);

const machine = await describeMachine();
const throughput: { concurrency: number; rounds: Round[] }[] = [];
for (const concurrency of concurrencies) {
  tell(`tenants per second, ${concurrency} at once`);
  // On a server of its own: tenants that were made before would weigh on those that come after.
  throughput.push(
    await onEmptyRegistry(async (cluster, recording) => ({
      concurrency,
      rounds: await contest({ cluster, recording, concurrency, rounds, tenants }),
    })),
  );
}

tell('from commit to first event, and the profile');
const alone = await onEmptyRegistry(async (cluster, recording) => ({
  recording,
  postgres: String((await cluster.query('SHOW server_version'))[0]?.server_version),
  firstEvents: await firstEventDelays(cluster, creates),
  profile: await profile(cluster),
}));

const existing = await onEmptyRegistry(async (cluster, recording) => {
  const levels: { tenants: number; rounds: Round[] }[] = [];
  for (const level of existingTenants) {
    await fillUp(cluster, level, (made) => tell(`${made} tenants made`));
    tell(`cost per tenant beside ${level}`);
    const measured = await contest({ cluster, recording, concurrency: existingConcurrency, rounds, tenants });
    levels.push({ tenants: level, rounds: measured });
  }
  return levels;
});

const text = report({ ...alone, machine, tenants, throughput, existing, existingConcurrency });
await writeFile(join(import.meta.dirname, 'RESULTS-PROVISIONING.md'), text);
process.stdout.write(text);
tell('written to RESULTS-PROVISIONING.md');

/** Runs `work` on a server with what the service does recorded, and an empty registry in the database `ours`. */
async function onEmptyRegistry<T>(work: (cluster: Cluster, recording: Recording) => Promise<T>): Promise<T> {
  await using cluster = await startCluster(directory.path);
  const recording = await record(cluster);
  await cluster.createDatabase('ours');
  await fillUp(cluster, 0, () => {});
  return await work(cluster, recording);
}

function tell(what: string): void {
  process.stderr.write(`${performance.now().toFixed(0).padStart(7)} ms  ${what}\n`);
}
