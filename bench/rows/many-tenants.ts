import type { Cluster } from '../cluster.ts';
import type { Figure } from '../figure.ts';
import { loadHttp } from '../load/http-load.ts';
import { errorsOf, type Measured } from '../load/measured.ts';
import { peakMemory } from '../proc.ts';
import { large, small } from '../registries.ts';
import { alternate } from '../rounds.ts';
import type { Service } from '../service.ts';
import { connections, type Row, type Stage, startRowService } from '../stage.ts';
import { tenantAnswer, tenantBodies } from '../tenant-query.ts';
import { listAnswer, listQuery } from './graphql-list.ts';

/** What a list, a get and a create cost in a registry with 10,000 tenants: beside one with 100. */
export const manyTenants: Row = { name: 'many-tenants', measure };

const creates = 200;
const createsAtOnce = 16;

async function measure(stage: Stage): Promise<Figure[]> {
  const registries = { many: await stage.registries.copy(large), few: await stage.registries.copy(small) };
  await using many = await startRowService(stage, registries.many.database);
  await using few = await startRowService(stage, registries.few.database);
  const services = { many, few };

  const run = async (who: keyof typeof services, bodies: readonly string[], expected: readonly string[]) => {
    const service = services[who];
    const token = await service.token('bench');
    return loadHttp({ port: service.httpPort, token, bodies, expected, seconds: stage.seconds, connections });
  };
  const list = await alternate(stage.rounds, {
    many: () => run('many', [JSON.stringify({ query: listQuery })], listAnswer),
    few: () => run('few', [JSON.stringify({ query: listQuery })], listAnswer),
  });
  // As many of the many as there are of the few, taken from all over.
  const some = registries.many.ids.filter((_, index) => index % (large / small) === 0);
  const get = await alternate(stage.rounds, {
    many: () => run('many', tenantBodies(some), tenantAnswer),
    few: () => run('few', tenantBodies(registries.few.ids), tenantAnswer),
  });
  const create = await alternate(stage.rounds, {
    many: (round) => createSome(stage.cluster, registries.many.database, many, round),
    few: (round) => createSome(stage.cluster, registries.few.database, few, round),
  });
  const memory = { ours: await peakMemory(many.pid), peer: await peakMemory(few.pid) };

  const figure = (what: string, rounds: readonly Record<'many' | 'few', Measured>[]): Figure => ({
    what: `GraphQL ${what} at ${large.toLocaleString('en')} tenants`,
    beside: `the same at ${small}`,
    unit: 'µs each',
    better: 'less',
    wanted: 1.2,
    rounds: rounds.map((round) => ({ ours: 1e6 / round.many.perSecond, peer: 1e6 / round.few.perSecond })),
    errors: errorsOf(rounds.flatMap((round) => [round.many, round.few])),
    memory,
  });
  return [
    figure('`tenants(first: 50)`', list),
    { ...figure('`tenant(id)`', get), note: `${small} tenants are asked for in both registries.` },
    {
      ...figure('`createTenant`', create),
      note: `${creates} creates in a round, ${createsAtOnce} at once; they are removed again before the next one, so that the registries keep their sizes.`,
    },
  ];
}

/** Some creates, after which the registry is as it was. */
async function createSome(
  cluster: Cluster,
  database: string,
  service: Service,
  round: number,
): Promise<Measured> {
  let begun = 0;
  const start = performance.now();
  await Promise.all(
    Array.from({ length: createsAtOnce }, async () => {
      while (begun < creates) await service.createTenant(`created-${round}-${begun++}`);
    }),
  );
  const perSecond = creates / ((performance.now() - start) / 1_000);
  await cluster.query(removalSql, database);
  await cluster.query('VACUUM ANALYZE tenants, operations, operation_steps, provisioning_events', database);
  return { answers: creates, perSecond, errors: 0 };
}

// The registry refuses removals by triggers, which are off here.
const removalSql = `
  SET session_replication_role = replica;
  DELETE FROM provisioning_events WHERE operation_id IN (SELECT id FROM operations WHERE state = 'PENDING');
  DELETE FROM operation_steps WHERE operation_id IN (SELECT id FROM operations WHERE state = 'PENDING');
  DELETE FROM operations WHERE state = 'PENDING';
  DELETE FROM tenants WHERE status = 'PROVISIONING';
  DELETE FROM graphile_worker._private_jobs;`;
