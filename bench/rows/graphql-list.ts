import { deepStrictEqual } from 'node:assert';
import { askGraphql } from '../ask.ts';
import type { Figure } from '../figure.ts';
import type { PostgraphileTask } from '../foreign-tasks.ts';
import { loadHttp } from '../load/http-load.ts';
import { errorsOf } from '../load/measured.ts';
import { startServingPeer } from '../peer.ts';
import { peakMemory } from '../proc.ts';
import { large } from '../registries.ts';
import { alternate } from '../rounds.ts';
import { connections, poolSize, type Row, type Stage, startRowService } from '../stage.ts';
import { median } from '../statistics.ts';

/** A page of tenants with their newest operations: beside PostGraphile on the same tables. */
export const graphqlList: Row = { name: 'graphql-list', measure };

const pageInfo = 'pageInfo { hasNextPage endCursor }';

/** The service's query, for the row about many tenants as well. */
export const listQuery = `query { tenants(first: 50) {
  edges { node { id name subdomain tier status createdAt operation { id kind state } } } ${pageInfo} } }`;

// The same names by aliases, so that the answers can be compared.
const postgraphileQuery = `query { tenants: allTenants(first: 50, orderBy: [CREATED_AT_ASC, ROW_ID_ASC]) {
  edges { node { id: rowId name subdomain tier status createdAt
    operation: operationByOperationId { id: rowId kind state } } } ${pageInfo} } }`;

/** What a page of 50 holds. */
export const listAnswer = [
  '{"data":{"tenants":{"edges":[{"node":{"id":"',
  '"subdomain":"tenant-000',
  '"hasNextPage":true',
];

async function measure(stage: Stage): Promise<Figure[]> {
  const { database } = await stage.registries.copy(large);
  await using service = await startRowService(stage, database);
  const task: PostgraphileTask = { database: stage.cluster.service(database), connections: poolSize };
  await using postgraphile = await startServingPeer('foreign/postgraphile.ts', task);

  const token = await service.token('bench');
  const ours = { port: service.httpPort, token, bodies: [JSON.stringify({ query: listQuery })] };
  const theirs = { port: postgraphile.port, token, bodies: [JSON.stringify({ query: postgraphileQuery })] };
  const [ourPage, theirPage] = [await pageOf(ours), await pageOf(theirs)];
  deepStrictEqual(theirPage, ourPage);

  const load = { expected: listAnswer, seconds: stage.seconds, connections };
  const rounds = await alternate(stage.rounds, {
    ours: () => loadHttp({ ...load, ...ours }),
    postgraphile: () => loadHttp({ ...load, ...theirs }),
    // No body comes twice, so that nothing can be known again.
    executed: (round) =>
      loadHttp({
        ...load,
        ...ours,
        bodies: [JSON.stringify({ query: listQuery, variables: { unused: `${round} {n}` } })],
      }),
  });
  const executed = median(rounds.map((round) => round.executed.perSecond));
  const theirRate = median(rounds.map((round) => round.postgraphile.perSecond));
  return [
    {
      what: 'GraphQL `tenants(first: 50)` with the newest operation',
      beside: 'PostGraphile 5 on the same tables, no authentication',
      unit: 'requests/s',
      better: 'more',
      wanted: 1.5,
      rounds: rounds.map((round) => ({ ours: round.ours.perSecond, peer: round.postgraphile.perSecond })),
      errors: errorsOf(rounds.flatMap((round) => [round.ours, round.postgraphile, round.executed])),
      memory: { ours: await peakMemory(service.pid), peer: await peakMemory(postgraphile.pid) },
      note: `the same page again and again: PostgreSQL is asked each time whether it has changed, and the answer before is sent again when it has not (docs/decisions/0025). When no request comes twice, each is executed: ${executed.toFixed(0)} a second, ${(executed / theirRate).toFixed(2)} of PostGraphile's.`,
    },
  ];
}

interface Page {
  readonly tenants: {
    readonly edges: readonly {
      readonly node: { readonly createdAt: string; readonly operation: { readonly id: string } };
    }[];
  };
}

/** A page without what each server writes in its own way: prefixed ids, zones of times, cursors. */
async function pageOf(server: { port: number; token: string; bodies: string[] }) {
  const data = await askGraphql<Page>(server, server.bodies[0] ?? '');
  return data.tenants.edges.map(({ node }) => ({
    ...node,
    createdAt: new Date(node.createdAt),
    operation: { ...node.operation, id: null },
  }));
}
