import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startCluster } from './cluster.ts';
import { endOnSignal, startOf } from './ending.ts';
import type { Figure } from './figure.ts';
import { chart } from './figure-chart.ts';
import { figureNotes, figureReport, figureTable } from './figure-report.ts';
import { describeMachine } from './machine.ts';
import { createRegistries } from './registries.ts';
import { cacheMiss } from './rows/cache-miss.ts';
import { fanOut } from './rows/fan-out.ts';
import { graphqlCreate } from './rows/graphql-create.ts';
import { graphqlGet } from './rows/graphql-get.ts';
import { graphqlList } from './rows/graphql-list.ts';
import { grpcGet } from './rows/grpc-get.ts';
import { manyTenants } from './rows/many-tenants.ts';
import { subscriberMemory } from './rows/subscriber-memory.ts';
import { twoProcesses } from './rows/two-processes.ts';
import { temporaryDirectory } from './temporary-directory.ts';

// The service beside what users would otherwise take, or beside what the machine can do at all. A whole run takes about
// ten minutes and writes RESULTS.md and results.svg; `--rows graphql-get,grpc-get`, `--rounds 2` and `--seconds 1` are
// for a part of it, which is only printed. What it starts is private, on loopback, and gone at the end.

/** A result with fewer is not written: there would be no spread to speak of. */
const fewestRounds = 5;

const rows = [
  ...[graphqlGet, graphqlList, grpcGet, cacheMiss, graphqlCreate, fanOut, subscriberMemory],
  ...[manyTenants, twoProcesses],
];

const { values } = parseArgs({
  options: {
    rows: { type: 'string' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
  },
});
const names = values.rows?.split(',') ?? rows.map(({ name }) => name);
const unknown = names.filter((name) => !rows.some((row) => row.name === name));
if (unknown.length > 0)
  throw new Error(`There is no row "${unknown}"; there are ${rows.map(({ name }) => name).join(', ')}.`);
const [rounds, seconds] = [Number(values.rounds), Number(values.seconds)];
if (!(Number.isInteger(rounds) && rounds > 0 && Number.isInteger(seconds) && seconds > 0))
  throw new Error('--rounds and --seconds take whole numbers from 1.');

endOnSignal();
await using directory = await startOf(temporaryDirectory);
const machine = await describeMachine();
await using cluster = await startCluster(directory.path);
const registries = createRegistries(cluster, tell);
const figures: Figure[] = [];
for (const row of rows) {
  if (!names.includes(row.name)) continue;
  tell(row.name);
  figures.push(...(await row.measure({ cluster, registries, rounds, seconds })));
}

const [server] = await cluster.query('SHOW server_version');
const run = { machine, postgres: String(server?.server_version), rounds, seconds };
process.stdout.write(`${figureTable(figures)}\n\n${figureNotes(figures)}\n`);
if (names.length === rows.length && rounds >= fewestRounds) {
  await writeFile(join(import.meta.dirname, 'RESULTS.md'), await figureReport(figures, run));
  await writeFile(join(import.meta.dirname, 'results.svg'), chart(figures));
  tell('written to RESULTS.md and results.svg');
}

function tell(what: string): void {
  process.stderr.write(`${performance.now().toFixed(0).padStart(7)} ms  ${what}\n`);
}
