import { eventually } from '../../test/support/eventually.ts';
import type { Figure } from '../figure.ts';
import { startPeer, startServingPeer } from '../peer.ts';
import { peakMemory, residentMemory } from '../proc.ts';
import { small } from '../registries.ts';
import { alternate } from '../rounds.ts';
import { type Row, type Stage, startRowService } from '../stage.ts';

/** What an idle subscriber holds in memory: beside a bare stream of Node's. */
export const subscriberMemory: Row = { name: 'subscriber-memory', measure };

/** Opened before memory is looked at for the first time. */
const first = 100;
const more = 1_000;
/** A principal may have a hundred streams. */
const principals = 20;
const query = 'subscription { provisioningFeed { tenantId sequence step status } }';

async function measure(stage: Stage): Promise<Figure[]> {
  const { database } = await stage.registries.copy(small);
  const peaks = { ours: 0, bare: 0 };
  const rounds = await alternate(stage.rounds, {
    async ours() {
      await using service = await startRowService(stage, database);
      const tokens = Array.from({ length: principals }, (_, number) => service.token(`subscriber-${number}`));
      const each = await memoryOfEach(service.pid, service.httpPort, await Promise.all(tokens));
      peaks.ours = Math.max(peaks.ours, (await peakMemory(service.pid)) ?? 0);
      return each;
    },
    async bare() {
      await using bare = await startServingPeer('programs/sse-http.ts', {});
      const each = await memoryOfEach(bare.pid, bare.port, ['']);
      peaks.bare = Math.max(peaks.bare, (await peakMemory(bare.pid)) ?? 0);
      return each;
    },
  });
  return [
    {
      what: 'memory of an idle subscriber',
      beside: 'a bare connection with server-sent events, on a Node server',
      unit: 'kB',
      better: 'less',
      wanted: 4,
      rounds: rounds.map(({ ours, bare }) => ({ ours, peer: bare })),
      errors: 0,
      memory: { ours: peaks.ours, peer: peaks.bare },
      note: `by how much a fresh process grows (\`VmRSS\`, when it is at rest) from ${first} subscribers to ${(first + more).toLocaleString('en')}.`,
    },
  ];
}

/** kB that a process takes more for each stream. */
async function memoryOfEach(pid: number, port: number, tokens: readonly string[]): Promise<number> {
  await using holder = await startPeer('programs/hold-streams.ts', { port, tokens, query });
  await holder.ask(first);
  const before = await memoryAtRest(pid);
  await holder.ask(more);
  return ((await memoryAtRest(pid)) - before) * (1024 / more);
}

/** MiB, when it has not changed for half a second. */
async function memoryAtRest(pid: number): Promise<number> {
  let since = performance.now();
  let last = -1;
  return eventually(async () => {
    const now = await residentMemory(pid);
    if (now === null) throw new Error('the memory of a process is in /proc, which this system does not have');
    if (now !== last) since = performance.now();
    last = now;
    return performance.now() - since > 500 && now;
  }, 20_000);
}
