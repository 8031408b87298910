import { aloneNote, askAlone } from '../alone.ts';
import { createAnswer, createBodies } from '../create-mutation.ts';
import { recordCreate } from '../create-recording.ts';
import type { Figure } from '../figure.ts';
import { loadHttp } from '../load/http-load.ts';
import { errorsOf } from '../load/measured.ts';
import { startServingPeer } from '../peer.ts';
import { peakMemory } from '../proc.ts';
import type { InsertTask } from '../programs/inserts.ts';
import { small } from '../registries.ts';
import { alternate } from '../rounds.ts';
import { connections, poolSize, type Row, type Stage, startRowService } from '../stage.ts';

/** Creates that are accepted, durable and queued: beside a bare server of Node's that does the same inserts. */
export const graphqlCreate: Row = { name: 'graphql-create', measure };

async function measure(stage: Stage): Promise<Figure[]> {
  const { cluster, registries } = stage;
  const recorded = await registries.copy(small);
  const recording = await recordCreate(cluster, recorded.database);
  // Databases of their own, so that neither finds the tenants of the other.
  const [ours, theirs] = [await registries.copy(small), await registries.copy(small)];
  await using service = await startRowService(stage, ours.database);
  const task: InsertTask = { database: cluster.service(theirs.database), connections: poolSize, recording };
  await using bare = await startServingPeer('programs/insert-http.ts', task);

  const token = await service.token('bench');
  const load = { token, expected: createAnswer, seconds: stage.seconds, connections };
  const before = { ours: await created(ours.database), theirs: await created(theirs.database) };
  const rounds = await alternate(stage.rounds, {
    ours: (round) => loadHttp({ ...load, port: service.httpPort, bodies: createBodies(`ours-${round}`) }),
    bare: (round) => loadHttp({ ...load, port: bare.port, bodies: createBodies(`bare-${round}`) }),
    alone: () => askAlone(bare, stage.seconds),
  });
  const rows = {
    ours: (await created(ours.database)) - before.ours,
    theirs: (await created(theirs.database)) - before.theirs,
  };
  // Those of the round that is not counted come on top.
  const answers = { ours: 0, theirs: 0 };
  for (const round of rounds) {
    answers.ours += round.ours.answers;
    answers.theirs += round.bare.answers;
  }
  if (rows.ours < answers.ours || rows.theirs < answers.theirs)
    throw new Error(
      `creates were acknowledged that are not in the database with their job: ${JSON.stringify({ rows, answers })}`,
    );
  return [
    {
      what: 'GraphQL `createTenant`, accepted: durable, its job queued',
      beside: 'a bare Node server with the same inserts in one `pg` transaction',
      unit: 'creates/s',
      better: 'more',
      wanted: 0.6,
      rounds: rounds.map((round) => ({ ours: round.ours.perSecond, peer: round.bare.perSecond })),
      errors: errorsOf(rounds.flatMap((round) => [round.ours, round.bare])),
      memory: { ours: await peakMemory(service.pid), peer: await peakMemory(bare.pid) },
      note: `the statements are read from the server's log of one create at the beginning of the row; the peer sends the very same (${recording.statements.length}), prepared, over as many connections (${poolSize}). The service runs with \`--role=api\`, so that no worker takes the jobs meanwhile. ${aloneNote(rounds.map(({ ours, alone }) => ({ ours: ours.perSecond, alone })))}`,
    },
  ];

  /** Tenants whose operation waits with its job. */
  async function created(database: string): Promise<number> {
    const [row] = await cluster.query(
      `SELECT count(*) FROM operations AS o JOIN tenants AS t ON t.operation_id = o.id
       JOIN graphile_worker._private_jobs AS job ON job.key = 'operation:' || o.id WHERE o.state = 'PENDING'`,
      database,
    );
    return Number(row?.count);
  }
}
