import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Figure, judge } from './figure.ts';
import { httpTool } from './load/http-load.ts';
import { toolVersion } from './load/run-tool.ts';
import type { Machine } from './machine.ts';
import { fixed, machineTable, table } from './report.ts';
import { connections, poolSize } from './stage.ts';

/** What all figures of a run have in common. */
export interface Run {
  readonly machine: Machine;
  /** Its version. */
  readonly postgres: string;
  readonly rounds: number;
  /** Of a contender in a round. */
  readonly seconds: number;
}

/** A line for each figure. */
export function figureTable(figures: readonly Figure[]): string {
  return table(
    ['what', 'beside', 'ours', 'beside', 'ratio (rounds)', 'wanted', 'reached', 'errors', 'memory, MiB'],
    figures.map((figure) => {
      const { ours, peer, ratio, spread, reached } = judge(figure);
      return [
        figure.what,
        figure.beside,
        `${amount(ours)} ${figure.unit}`,
        amount(peer),
        `**${fixed(ratio, 2)}** (${fixed(spread[0], 2)}–${fixed(spread[1], 2)})`,
        `${figure.better === 'more' ? '≥' : '≤'} ${figure.wanted}`,
        reached ? 'yes' : 'no',
        figure.errors,
        `${mebibytes(figure.memory.ours)} / ${mebibytes(figure.memory.peer)}`,
      ];
    }),
  );
}

/** What has to be known beside them, a line each. */
export function figureNotes(figures: readonly Figure[]): string {
  const notes = figures.flatMap(({ what, note }) => (note === undefined ? [] : [`- **${what}**: ${note}`]));
  return notes.join('\n');
}

/** The figures as Markdown, with what they belong to. */
export async function figureReport(figures: readonly Figure[], run: Run): Promise<string> {
  return `# Figures

Written by \`npm run bench\`; how it measures is told in [docs/performance.md](../docs/performance.md).

${figureTable(figures)}

![Each ratio as a part of what is wanted](results.svg)

Medians of ${run.rounds} rounds of about ${run.seconds} s for each contender, in turn; in brackets the lowest and the highest ratio of a round. The ratio is ours by what stands beside it. Errors are those of all contenders together: answers that were refused, limited, wrong or missing; a figure with errors is not reached. Memory is the most that the serving processes had at once (\`VmHWM\`), the service's and the peer's.

${figureNotes(figures)}

${machineTable(run.machine, run.postgres)}

Load by ${httpTool} ${httpTool === 'wrk' ? toolVersion('wrk') : await version('autocannon')} (${connections} connections that stay open) and h2load ${toolVersion('h2load')}, in processes of their own on the same cores. Peers: fastify ${await version('fastify')} with mercurius ${await version('mercurius')}, PostGraphile ${await version('postgraphile')}. Each has a pool of ${poolSize} connections to PostgreSQL, as the service has.
`;
}

async function version(name: string): Promise<string> {
  const file = join(import.meta.dirname, 'node_modules', name, 'package.json');
  return JSON.parse(await readFile(file, 'utf8')).version;
}

/** Three digits that count. */
function amount(value: number): string {
  return value >= 100 ? Math.round(value).toLocaleString('en') : value.toPrecision(3);
}

function mebibytes(value: number | null): string {
  return value === null ? '–' : fixed(value, 0);
}
