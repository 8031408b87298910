import type { Round } from './contest.ts';
import type { Machine } from './machine.ts';
import type { Profile } from './profile.ts';
import type { Recording } from './recording.ts';
import { median, percentile } from './statistics.ts';

export interface Results {
  readonly machine: Machine;
  /** Its version. */
  readonly postgres: string;
  readonly recording: Recording;
  readonly tenants: number;
  /** On an empty registry. */
  readonly throughput: readonly { readonly concurrency: number; readonly rounds: readonly Round[] }[];
  readonly existing: readonly { readonly tenants: number; readonly rounds: readonly Round[] }[];
  /** At which those were measured. */
  readonly existingConcurrency: number;
  /** Milliseconds. */
  readonly firstEvents: readonly number[];
  readonly profile: Profile;
}

/** The results as Markdown. */
export function report(results: Results): string {
  const { machine, recording, profile, throughput, existing, firstEvents } = results;
  const rounds = throughput[0]?.rounds.length ?? 0;
  const cpu = profile.cpu.reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return `# Provisioning

Written by \`npm run bench:provisioning\`.

${machineTable(machine, results.postgres)}

## Tenants per second, cold

${table(
  [
    'at once',
    'service',
    'and accepting',
    'bare `pg`',
    'service / bare (rounds)',
    'wanted',
    'DDL only',
    'service / DDL (rounds)',
    'aim',
  ],
  throughput.map(({ concurrency, rounds }) => [
    concurrency,
    perSecond(rounds, 'ours'),
    perSecond(rounds, 'accepting'),
    perSecond(rounds, 'bare'),
    ratios(rounds, 'bare'),
    '≥ 0.8',
    perSecond(rounds, 'ddl'),
    ratios(rounds, 'ddl'),
    '0.5',
  ]),
)}

Medians of ${rounds} rounds of ${results.tenants} tenants each, contenders alternating, on one server. In brackets the lowest and the highest ratio of a round.

- **service**: a worker as users run it (\`--role=worker\`, \`--worker-concurrency\` as in the first column), with all tenants accepted before it begins: what it does is what the peers do, too. Counted from the taking of the first operation to the end of the last one, by the database's clock.
- **and accepting**: the same worker, while another process (\`--role=api\`) takes the creates through GraphQL on the same two cores, so many at once that the worker always has some to do. Counted from the acceptance of the first create.
- **bare \`pg\`**: \`peers.ts\`, as many connections as the first column says. For each tenant it sends the very DDL of the service, read from the server's log at the beginning of the run, in the same ${recording.ddl.length} transactions, one round trip each; inserts of a row each, up to the same ${recording.commits} commits (counted by the server's transaction ids); and one login as the tenant's \`…_app\` role with a query. Its passwords are stretched as drivers and servers do by themselves, 4,096 times; the service does that once, because they are 256 random bits.
- **DDL only**: the same DDL in one transaction and one round trip, no login.

Each contender has a database of its own; all use the service's role, which is no superuser. The load, the service and PostgreSQL share the cores.

## With existing tenants

${table(
  [
    'existing tenants',
    'service, ms per tenant',
    'against none',
    'wanted',
    'bare `pg`',
    'against none',
    'DDL only',
    'against none',
  ],
  existing.map(({ tenants, rounds }) => [
    tenants.toLocaleString('en'),
    ...against(rounds, 'ours'),
    tenants === 0 ? '' : '≤ 1.3',
    ...against(rounds, 'bare'),
    ...against(rounds, 'ddl'),
  ]),
)}

${results.existingConcurrency} at once; the time of a round by its tenants. The existing tenants were made by the service; the peers start with copies of its database.

## From the commit of a create to its first event

${table(
  ['creates', 'p50, ms', 'p99, ms', 'longest, ms'],
  [
    [
      firstEvents.length,
      fixed(median(firstEvents), 2),
      fixed(percentile(firstEvents, 0.99), 2),
      fixed(percentile(firstEvents, 1), 2),
    ],
  ],
)}

One create at a time, each when the one before is active; a subscriber of \`provisioningFeed\` in another process on the same machine, without Redis. From the time of the commit as PostgreSQL notes it (\`track_commit_timestamp\`) to the arrival of the event's text.

## Where the time goes

A tenant takes ${recording.commits + 1} commits, that of its creation among them, and ${recording.statementCount} statements. One at a time:

${table(
  ['step', 'ms'],
  [
    ...profile.steps.map(({ name, milliseconds }) => [`\`${name}\``, fixed(milliseconds, 1)]),
    ['between the steps', fixed(profile.operation - sum(profile.steps), 1)],
    ['the operation, from when the worker took it', fixed(profile.operation, 1)],
  ],
)}

In the server, by statement (\`log_min_duration_statement\`; parse, plan and execute together):

${table(
  ['statement', 'times', 'ms per tenant'],
  [
    ...recording.statements
      .slice(0, 12)
      .map(({ sql, count, milliseconds }) => [
        `\`${sql.replaceAll('|', '\\\\|')}\``,
        fixed(count, 1),
        fixed(milliseconds, 2),
      ]),
    ['all', '', fixed(sum(recording.statements), 1)],
  ],
)}

CPU of the service's process (\`--cpu-prof\`), ${fixed(cpu, 1)} ms per tenant, by the part of the code that runs or calls Node:

${table(
  ['part', 'ms per tenant', 'share'],
  profile.cpu
    .slice(0, 12)
    .map(({ part, milliseconds }) => [
      part,
      fixed(milliseconds, 2),
      `${fixed((100 * milliseconds) / cpu, 0)} %`,
    ]),
)}
`;

  function against(rounds: readonly Round[], who: keyof Round): string[] {
    const none = existing.find(({ tenants }) => tenants === 0)?.rounds ?? rounds;
    return [fixed(typical(rounds, who), 1), fixed(typical(rounds, who) / typical(none, who), 2)];
  }
}

/** What the figures belong to; `postgres` is its version. */
export function machineTable(machine: Machine, postgres: string): string {
  return table(
    ['machine', ''],
    [
      ['CPU', `${machine.cpu}, ${machine.cores} cores`],
      ['memory', `${machine.memoryGiB} GiB`],
      ['load in the minute before', fixed(machine.load, 1)],
      ['system', machine.system],
      ['Node', machine.node],
      ['PostgreSQL', `${postgres}, embedded, on the same machine, with the settings of the service`],
      ['pg', machine.pg],
      ['commit', machine.commit],
      ['date', machine.date],
    ],
  );
}

function typical(rounds: readonly Round[], who: keyof Round): number {
  return median(rounds.map((round) => round[who]));
}

function perSecond(rounds: readonly Round[], who: keyof Round): string {
  return fixed(1000 / typical(rounds, who), 1);
}

/** The service's throughput by a peer's: of the medians, and from the lowest to the highest round. */
function ratios(rounds: readonly Round[], peer: 'bare' | 'ddl'): string {
  const each = rounds.map((round) => round[peer] / round.ours);
  const ofMedians = typical(rounds, peer) / typical(rounds, 'ours');
  return `**${fixed(ofMedians, 2)}** (${fixed(Math.min(...each), 2)}–${fixed(Math.max(...each), 2)})`;
}

function sum(times: readonly { readonly milliseconds: number }[]): number {
  return times.reduce((total, { milliseconds }) => total + milliseconds, 0);
}

export function fixed(value: number, digits: number): string {
  return value.toFixed(digits);
}

export function table(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const lines = [head, head.map((_, index) => (index === 0 ? '---' : '---:')), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
