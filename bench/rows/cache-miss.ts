import { deepStrictEqual } from 'node:assert';
import { eventually } from '../../test/support/eventually.ts';
import { aloneNote, askAlone } from '../alone.ts';
import { askGraphql } from '../ask.ts';
import type { Figure } from '../figure.ts';
import { loadHttp } from '../load/http-load.ts';
import { errorsOf, type Measured } from '../load/measured.ts';
import { type ServingPeer, startServingPeer } from '../peer.ts';
import { peakMemory } from '../proc.ts';
import type { SelectTask } from '../programs/select-http.ts';
import { large } from '../registries.ts';
import { alternate } from '../rounds.ts';
import { connections, poolSize, type Row, type Stage, startRowService } from '../stage.ts';
import { tenantAnswer, tenantBodies, tenantQuery } from '../tenant-query.ts';

/** One tenant that no cache has: beside a bare server of Node's that sends one prepared query for each request. */
export const cacheMiss: Row = { name: 'cache-miss', measure };

/** What a process is warmed up with: tenants that there are not, each asked once as well. */
const warmUp = {
  bodies: [JSON.stringify({ query: tenantQuery, variables: { id: '00000000-0000-4000-8000-{n}' } })],
  expected: ['{"data":{"tenant":null}}'],
};
/** Of a run: a server of less than ten thousand requests a second does not come to the end of the tenants. */
const seconds = 1;

async function measure(stage: Stage): Promise<Figure[]> {
  const { database, ids } = await stage.registries.copy(large);
  const bodies = tenantBodies(ids);
  const task: SelectTask = { database: stage.cluster.service(database), connections: poolSize, ids };
  const peaks: Record<'ours' | 'peer', (number | null)[]> = { ours: [], peer: [] };

  await haveSameAnswer();
  // A process of its own for each round: nothing is in its cache.
  const run = async (who: keyof typeof peaks, start: () => Promise<Started>) => {
    const before = await rowsRead();
    const answers: Measured[] = [];
    {
      await using process = await start();
      const load = { ...process, seconds, connections };
      answers.push(await loadHttp({ ...load, ...warmUp }));
      answers.push(await loadHttp({ ...load, bodies, expected: tenantAnswer }));
      peaks[who].push(await peakMemory(process.pid));
    }
    const read = (await rowsRead()) - before;
    // Whatever did not come from PostgreSQL is no answer here.
    return {
      perSecond: answers[1]?.perSecond ?? 0,
      errors: errorsOf(answers) + Math.max(0, (answers[1]?.answers ?? 0) - read),
    };
  };
  const rounds = await alternate(stage.rounds, {
    ours: () => run('ours', startOurs),
    peer: () => run('peer', startSelect),
    async alone() {
      await using peer = await startSelect();
      return await askAlone(peer, seconds);
    },
  });

  return [
    {
      what: 'GraphQL `tenant(id)`, a cache miss to PostgreSQL',
      beside: 'a bare Node server with one prepared `pg` query for each request',
      unit: 'requests/s',
      better: 'more',
      wanted: 0.5,
      rounds: rounds.map(({ ours, peer }) => ({ ours: ours.perSecond, peer: peer.perSecond })),
      errors: rounds.reduce((sum, { ours, peer }) => sum + ours.errors + peer.errors, 0),
      memory: { ours: highest(peaks.ours), peer: highest(peaks.peer) },
      note: `each round has fresh processes, which are asked once for each tenant, and warmed up with tenants that there are not. Ours asks for what many want at once by one statement, the peer by one each. PostgreSQL counts the tenants that it fetches (\`pg_stat_user_tables\`): answers beyond those are errors. Both pools have ${poolSize} connections. ${aloneNote(rounds.map(({ ours, alone }) => ({ ours: ours.perSecond, alone })))}`,
    },
  ];

  async function startOurs(): Promise<Started> {
    const service = await startRowService(stage, database);
    return { ...service, port: service.httpPort, token: await service.token('bench') };
  }

  async function startSelect(): Promise<Started & ServingPeer> {
    return { ...(await startServingPeer('programs/select-http.ts', task)), token: '' };
  }

  /** Tenants that were fetched so far. What a session did is counted for certain when it has ended. */
  async function rowsRead(): Promise<number> {
    const sessions = `SELECT FROM pg_stat_activity WHERE datname = '${database}'`;
    await eventually(async () => (await stage.cluster.query(sessions)).length === 0, 10_000);
    const counted = `SELECT idx_tup_fetch AS count FROM pg_stat_user_tables WHERE relname = 'tenants'`;
    const [row] = await stage.cluster.query(counted, database);
    return Number(row?.count);
  }

  async function haveSameAnswer(): Promise<void> {
    await using service = await startOurs();
    await using peer = await startSelect();
    const [body = ''] = bodies;
    deepStrictEqual(await askGraphql(peer, body), await askGraphql(service, body));
  }
}

/** A process with what is needed to ask it. */
interface Started extends AsyncDisposable {
  readonly pid: number;
  readonly port: number;
  readonly token: string;
}

function highest(values: readonly (number | null)[]): number | null {
  const known = values.filter((value) => value !== null);
  return known.length === 0 ? null : Math.max(...known);
}
