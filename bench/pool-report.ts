import type { LeaseFigures } from './leases.ts';
import type { Machine } from './machine.ts';
import type { ContenderName } from './pool-contenders.ts';
import type { LoadName } from './pool-load.ts';
import type { PoolRound } from './pool-round.ts';
import { fixed, machineTable, table } from './report.ts';
import { median } from './statistics.ts';

export interface MeasuredRound extends PoolRound {
  readonly contender: ContenderName;
  readonly load: LoadName;
}

export interface PoolResults {
  readonly machine: Machine;
  readonly postgres: string;
  readonly maxConnections: number;
  readonly tenants: number;
  readonly budget: number;
  readonly callers: number;
  readonly rounds: number;
  readonly seconds: number;
  readonly measured: readonly MeasuredRound[];
  readonly leases: LeaseFigures;
}

const titles: Readonly<Record<ContenderName, string>> = {
  ours: '`withTenant`',
  shared: 'one `pg` pool, SET ROLE',
  naive: 'a `pg` pool per tenant',
};

/** The results as Markdown. */
export function poolReport(results: PoolResults): string {
  const { budget, callers, seconds, rounds, measured, leases } = results;
  const tenants = results.tenants.toLocaleString('en');
  return `# Connections into tenants' schemas

Written by \`npm run bench:pools\`.

${machineTable(results.machine, results.postgres)}

${tenants} tenants, ${budget} connections, ${callers} callers who ask again as soon as they are served. A request is two short queries in the tenant's schema. Medians of ${rounds} rounds of ${seconds - 1} seconds each (the second before them does not count), contenders alternating, each in a process of its own; in brackets the lowest and the highest round. The load, the contenders and PostgreSQL share the cores.

- **\`withTenant\`**: the service's pools as \`src/app.ts\` joins them, the registry and its key ring included. Each connection is logged in as the tenant and reset behind every borrower.
- **one \`pg\` pool, SET ROLE**: as many connections, logged in as somebody who may become every tenant (here the superuser); \`SET ROLE\` and \`SET search_path\` in one round trip before each request, and nothing behind it. Whoever gets SQL of his own onto such a connection is one \`RESET ROLE\` away from all tenants; nothing here is proof against that, so its speed is the price of isolation, not an aim.
- **a \`pg\` pool per tenant**: five connections each, pg's idle timeout of ten seconds, no budget. The server has ${results.maxConnections} connections.

A wait is the time from asking to having a connection of the tenant: the turn, and logging in or switching.

## All tenants, one after the other

The worst case for pools of logins: every request is another tenant's, so every one of them opens a connection and closes another one.

${loadTable('roundRobin')}

## One tenant takes half of the load

${loadTable('noisy')}

## As many tenants as connections, one after the other

What most services see for most of the time: those who are at work now fit into the budget.

${loadTable('few')}

## Connections and memory

Peaks of all rounds of all loads; memory is the median of what a round had at its end, in MiB. The backends' is their proportional share (PSS), shared buffers included.

${table(
  ['', 'connections, peak', 'process, RSS', 'backends, PSS'],
  names().map((contender) => {
    const all = measured.filter((round) => round.contender === contender);
    const backends = all.map((round) => round.backends).filter((value) => value !== null);
    return [
      titles[contender],
      Math.max(...all.map(({ peak }) => peak)),
      spread(
        all.map(({ rss }) => rss),
        0,
      ),
      backends.length === all.length ? spread(backends, 0) : 'not readable',
    ];
  }),
)}

## Leases

${leaseTable(leases)}

Medians of ${leases.rounds.length} rounds of ${leases.leases} leases, taken and released by ${leases.atOnce} callers with a tenant each; in brackets the lowest and the highest round. Over gRPC, service and load in one process; the peer sends what that does to the role (\`ALTER ROLE\` twice, and the end of its sessions) in as many transactions, by \`pg\` alone.
`;

  function names(): ContenderName[] {
    return [...new Set(measured.map(({ contender }) => contender))];
  }

  function loadTable(load: LoadName): string {
    const isNoisy = load === 'noisy';
    const who = isNoisy ? ', the others' : '';
    return table(
      [
        '',
        'requests per second',
        `wait p50${who}, ms`,
        `wait p99${who}, ms`,
        'p99 of the worst-off tenant, ms',
        ...(isNoisy ? ['wait p99, the noisy one, ms'] : []),
        'errors',
      ],
      names().map((contender) => {
        const all = measured.filter((round) => round.contender === contender && round.load === load);
        return [
          titles[contender],
          spread(
            all.map(({ perSecond }) => perSecond),
            0,
          ),
          spread(
            all.map(({ wait }) => wait.p50),
            1,
          ),
          spread(
            all.map(({ wait }) => wait.p99),
            1,
          ),
          spread(
            all.map(({ wait }) => wait.worstTenant),
            1,
          ),
          ...(isNoisy
            ? [
                spread(
                  all.map(({ noisyWait }) => noisyWait?.p99 ?? Number.NaN),
                  1,
                ),
              ]
            : []),
          errorsOf(all),
        ];
      }),
    );
  }
}

function errorsOf(all: readonly PoolRound[]): string {
  const total = new Map<string, number>();
  for (const { errors } of all) {
    for (const [code, count] of Object.entries(errors)) total.set(code, (total.get(code) ?? 0) + count);
  }
  if (total.size === 0) return 'none';
  return [...total].map(([code, count]) => `${count.toLocaleString('en')} × ${code}`).join(', ');
}

function spread(values: readonly number[], digits: number): string {
  return `**${fixed(median(values), digits)}** (${fixed(Math.min(...values), digits)}–${fixed(Math.max(...values), digits)})`;
}

function leaseTable({ rounds }: LeaseFigures): string {
  const spread = (values: readonly number[], digits: number) =>
    `${fixed(median(values), digits)} (${fixed(Math.min(...values), digits)}–${fixed(Math.max(...values), digits)})`;
  const service = rounds.map((round) => round.service);
  const bare = rounds.map((round) => round.bare);
  const ratios = rounds.map((round) => round.service / round.bare);
  return table(
    ['leases per second', 'bare `ALTER ROLE`', 'ratio'],
    [[spread(service, 0), spread(bare, 0), spread(ratios, 2)]],
  );
}
