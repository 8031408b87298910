import { cpus } from 'node:os';
import { GetTenantRequest } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { askGraphql } from '../ask.ts';
import { callGetTenant } from '../call-grpc.ts';
import { keepOnCores } from '../cores.ts';
import type { Figure } from '../figure.ts';
import { calibrated } from '../load/calibrated.ts';
import { loadGrpc } from '../load/grpc-load.ts';
import { loadByH2load } from '../load/h2load.ts';
import { errorsOf, type Measured } from '../load/measured.ts';
import { cpuSeconds, peakMemory } from '../proc.ts';
import { small } from '../registries.ts';
import { alternate } from '../rounds.ts';
import type { Service } from '../service.ts';
import { connections, type Row, type Stage, startRowService } from '../stage.ts';
import { median } from '../statistics.ts';
import { type TenantFields, tenantBodies } from '../tenant-query.ts';

/** Two processes (`--processes 2`) on two cores, beside one on one core; the load comes from the same cores each time. */
export const twoProcesses: Row = { name: 'two-processes', measure };

/** A load with what it cost. */
interface Costed extends Measured {
  /** CPU time of all of the service's processes for an answer, microseconds; null where it cannot be read. */
  readonly cpu: number | null;
}

async function measure(stage: Stage): Promise<Figure[]> {
  const copies = { one: await stage.registries.copy(small), two: await stage.registries.copy(small) };
  await using one = await startRowService(stage, copies.one.database);
  await using two = await startRowService(stage, copies.two.database, { flags: ['--processes=2'] });
  keepOnCores(one.pid, 1);
  const [oneToken, twoToken] = [await one.token('bench'), await two.token('bench')];
  const [id = ''] = copies.one.ids;

  // One body, so that h2load can do it, which takes least of the cores.
  const [text = ''] = tenantBodies([id]);
  const body = Buffer.from(text);
  const data = await askGraphql<{ tenant: TenantFields }>({ port: one.httpPort, token: oneToken }, text);
  const answerLength = JSON.stringify({ data }).length;
  const graphql = (service: Service, token: string) => {
    const headers = [
      `authorization: Bearer ${token}`,
      'content-type: application/json',
      'accept: application/json',
    ];
    const where = { port: service.httpPort, path: '/graphql', version: 'HTTP/1.1' } as const;
    const load = { ...where, headers, body, answerLength, connections: 2 * connections, streams: 1 };
    return costed(
      service,
      calibrated(stage.seconds, (requests) => loadByH2load({ ...load, requests })),
    );
  };
  const overGraphql = await alternate(stage.rounds, {
    one: onCores(1, graphql(one, oneToken)),
    two: onCores(2, graphql(two, twoToken)),
  });

  const answer = await callGetTenant({ port: one.grpcPort, token: oneToken }, id);
  const grpc = (service: Service, token: string) => {
    const path = '/tenant.v1.TenantService/GetTenant';
    const request = GetTenantRequest.encode({ id }).finish();
    const load = { port: service.grpcPort, token, path, request, answerLength: answer.length };
    const run = calibrated(stage.seconds, (calls) =>
      loadGrpc({ ...load, calls, connections: 16, streams: 4 }),
    );
    return costed(service, run);
  };
  const overGrpc = await alternate(stage.rounds, {
    one: onCores(1, grpc(one, oneToken)),
    two: onCores(2, grpc(two, twoToken)),
  });

  const memory = { ours: await peakMemory(two.pid), peer: await peakMemory(one.pid) };
  const figure = (what: string, unit: string, rounds: readonly Record<'one' | 'two', Costed>[]): Figure => ({
    what: `${what}, two processes on two cores`,
    beside: 'the same, one process on one core',
    unit,
    better: 'more',
    wanted: 1.6,
    rounds: rounds.map((round) => ({ ours: round.two.perSecond, peer: round.one.perSecond })),
    errors: errorsOf(rounds.flatMap((round) => [round.one, round.two])),
    memory,
    note: costNote(rounds),
  });
  return [
    figure('GraphQL `tenant(id)`, cached', 'requests/s', overGraphql),
    figure('gRPC `GetTenant`, cached', 'calls/s', overGrpc),
  ];
}

/** A run whose load generator has so many cores; those that it shares with the service. */
function onCores<T>(cores: number, run: () => Promise<T>): () => Promise<T> {
  return async () => {
    keepOnCores(process.pid, cores);
    try {
      return await run();
    } finally {
      keepOnCores(process.pid, cpus().length);
    }
  };
}

/** A run with the CPU time that the service spent on it. */
function costed(service: Service, run: () => Promise<Measured>): () => Promise<Costed> {
  return async () => {
    const before = await cpuSeconds(service.pid);
    const measured = await run();
    const after = await cpuSeconds(service.pid);
    const cpu = before === null || after === null ? null : ((after - before) * 1e6) / measured.answers;
    return { ...measured, cpu };
  };
}

function costNote(rounds: readonly Record<'one' | 'two', Costed>[]): string {
  const typical = (who: 'one' | 'two') => {
    const known = rounds.map((round) => round[who].cpu).filter((cpu) => cpu !== null);
    return known.length === 0 ? null : median(known);
  };
  const [one, two] = [typical('one'), typical('two')];
  const shared =
    'the load generator runs on the same cores as the service, one or two, and takes as much of each for an answer';
  if (one === null || two === null) return `${shared}.`;
  return `${shared}. In the service an answer costs ${one.toFixed(0)} µs of CPU in one process and ${two.toFixed(0)} µs in two.`;
}
