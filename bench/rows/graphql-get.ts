import { deepStrictEqual } from 'node:assert';
import { askGraphql } from '../ask.ts';
import type { Figure } from '../figure.ts';
import type { MercuriusTask } from '../foreign-tasks.ts';
import { loadHttp } from '../load/http-load.ts';
import { errorsOf } from '../load/measured.ts';
import { startServingPeer } from '../peer.ts';
import { peakMemory } from '../proc.ts';
import type { ConstantTask } from '../programs/constant-http.ts';
import { small } from '../registries.ts';
import { alternate } from '../rounds.ts';
import { connections, type Row, type Stage, startRowService } from '../stage.ts';
import { type TenantFields, tenantAnswer, tenantBodies } from '../tenant-query.ts';

/** One tenant by its id, five fields, from the cache: beside mercurius and beside a bare server of Node's. */
export const graphqlGet: Row = { name: 'graphql-get', measure };

async function measure(stage: Stage): Promise<Figure[]> {
  const { database, ids } = await stage.registries.copy(small);
  await using service = await startRowService(stage, database);
  const ours = { port: service.httpPort, token: await service.token('bench') };
  const bodies = tenantBodies(ids);
  const answers: { tenant: TenantFields }[] = [];
  for (const body of bodies) answers.push(await askGraphql(ours, body));
  const [first] = answers;

  const memory: MercuriusTask = { tenants: answers.map(({ tenant }) => tenant) };
  await using mercurius = await startServingPeer('foreign/mercurius.ts', memory);
  for (const [index, body] of bodies.entries())
    deepStrictEqual(await askGraphql({ ...ours, port: mercurius.port }, body), answers[index]);
  const constant: ConstantTask = { answer: JSON.stringify({ data: first }) };
  await using bare = await startServingPeer('programs/constant-http.ts', constant);

  const load = { token: ours.token, bodies, expected: tenantAnswer, seconds: stage.seconds, connections };
  const rounds = await alternate(stage.rounds, {
    ours: () => loadHttp({ ...load, port: ours.port }),
    mercurius: () => loadHttp({ ...load, port: mercurius.port }),
    bare: () => loadHttp({ ...load, port: bare.port }),
  });
  const common = {
    what: 'GraphQL `tenant(id)`, five fields, cached',
    unit: 'requests/s',
    better: 'more',
  } as const;
  const oursPeak = await peakMemory(service.pid);
  return [
    {
      ...common,
      beside: 'mercurius with JIT, from memory, no authentication',
      wanted: 1,
      rounds: rounds.map((round) => ({ ours: round.ours.perSecond, peer: round.mercurius.perSecond })),
      errors: errorsOf(rounds.flatMap((round) => [round.ours, round.mercurius])),
      memory: { ours: oursPeak, peer: await peakMemory(mercurius.pid) },
    },
    {
      ...common,
      beside: 'a bare Node server that answers a constant',
      wanted: 0.6,
      rounds: rounds.map((round) => ({ ours: round.ours.perSecond, peer: round.bare.perSecond })),
      errors: errorsOf(rounds.flatMap((round) => [round.ours, round.bare])),
      memory: { ours: oursPeak, peer: await peakMemory(bare.pid) },
    },
  ];
}
