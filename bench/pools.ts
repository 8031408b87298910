import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startCluster } from './cluster.ts';
import { endOnSignal, startOf } from './ending.ts';
import { fillUp } from './existing-tenants.ts';
import { leaseFigures } from './leases.ts';
import { describeMachine } from './machine.ts';
import { contenders } from './pool-contenders.ts';
import { loads } from './pool-load.ts';
import { type MeasuredRound, poolReport } from './pool-report.ts';
import { runRound } from './pool-round.ts';
import { encryptionKeys } from './service.ts';
import { temporaryDirectory } from './temporary-directory.ts';

// Connections into tenants' schemas: the service's pools beside what is usually done. Takes about eight minutes and
// writes RESULTS-POOLS.md. What it starts is private, on loopback, and gone at the end.

const tenants = 1_000;
const budget = 20;
const callers = 40;
const rounds = 5;
const seconds = 7;

endOnSignal();
await using directory = await startOf(temporaryDirectory);
const machine = await describeMachine();
await using cluster = await startCluster(directory.path);
await cluster.createDatabase('ours');
await fillUp(cluster, tenants, (made) => tell(`${made} tenants made`));
const ids = await cluster.query('SELECT id::text AS id FROM tenants ORDER BY created_at, id', 'ours');

const [keyId = '', key = ''] = encryptionKeys.split(':');
const options = {
  service: cluster.service('ours'),
  administrator: cluster.administrator('ours'),
  keys: [{ id: keyId, key }],
  tenantIds: ids.map(({ id }) => String(id)),
  budget,
};
const measured: MeasuredRound[] = [];
for (let round = 1; round <= rounds; round++) {
  for (const load of loads) {
    for (const contender of contenders) {
      const result = await runRound(cluster, { contender, load, callers, seconds, options });
      measured.push({ ...result, contender, load });
      tell(`round ${round}, ${load}, ${contender}: ${result.perSecond.toFixed(0)} per second`);
    }
  }
}

tell('leases');
const leases = await leaseFigures(cluster);

const settings = await cluster.query(
  `SELECT current_setting('server_version') AS version, current_setting('max_connections') AS connections`,
);
const text = poolReport({
  ...{ machine, tenants, budget, callers, rounds, seconds, measured, leases },
  postgres: String(settings[0]?.version),
  maxConnections: Number(settings[0]?.connections),
});
await writeFile(join(import.meta.dirname, 'RESULTS-POOLS.md'), text);
process.stdout.write(text);
tell('written to RESULTS-POOLS.md');

function tell(what: string): void {
  process.stderr.write(`${performance.now().toFixed(0).padStart(7)} ms  ${what}\n`);
}
