import { randomInt } from 'node:crypto';
import { expect, onTestFailed, test } from 'vitest';
import { InvalidStateError } from '../../src/core/errors.ts';
import type { ProvisioningEvent } from '../../src/core/model.ts';
import { editor } from '../core/core-app.ts';
import { eventually } from '../support/eventually.ts';
import type { ServiceProcess } from '../support/process.ts';
import { areGapless, eventsOf } from '../workers/worker-app.ts';
import { type End, expectSound } from './expect-sound.ts';
import { accept, cancelNewest, createFaultBed, type FaultBed } from './fault-bed.ts';
import { type Random, seededRandom } from './seeded-random.ts';
import { withEach } from './with-each.ts';

const tenants = 200;
/** Callers at once. */
const callers = 10;
const mostWorkers = 3;
const mostKills = 25;
/** Between two faults: up to so many events, and no longer than this even if nothing moves. */
const mostEvents = 120;
const longestPauseMs = 2_500;

/** Given: that run once more, as far as it does not depend on who was faster. */
const seed = Number(process.env.TMS_TEST_SEED ?? randomInt(2 ** 31));

/** What is done to a tenant behind its creation, and how it is then. */
interface Life {
  readonly changes: readonly ('suspend' | 'resume' | 'remove' | 'restore' | 'cancel')[];
  readonly end: End;
}

const plain: Life = { changes: [], end: 'ACTIVE' };
const lives: readonly Life[] = [
  ...Array.from({ length: 14 }, () => plain),
  { changes: ['suspend'], end: 'INACTIVE' },
  { changes: ['suspend', 'resume'], end: 'ACTIVE' },
  { changes: ['remove'], end: 'DELETED' },
  { changes: ['remove', 'restore'], end: 'ACTIVE' },
  { changes: ['cancel'], end: 'GONE' },
  { changes: ['cancel', 'restore'], end: 'ACTIVE' },
];

test('200 tenants are created and changed while workers are killed and started at random, and all end well', async () => {
  onTestFailed(() => console.error(`the same again: TMS_TEST_SEED=${seed}`));
  const random = seededRandom(seed);
  await using bed = await createFaultBed();
  const ends = new Map<string, End>([[bed.bystander, 'ACTIVE']]);
  const watched: Promise<ProvisioningEvent[]>[] = [];
  const planned: readonly Life[] = Array.from({ length: tenants }, () => random.pick(lives));
  let called = false;
  const calls = withEach(planned, callers, async (life) => {
    const id = await accept(bed);
    if (life === plain && ends.size % 4 === 0) {
      const events = eventsOf(bed, id);
      events.catch(() => {});
      watched.push(events);
    }
    ends.set(id, await live(bed, id, life));
  }).finally(() => {
    called = true;
  });
  calls.catch(() => {});
  const kills = await killAtRandom(bed, random, () => called);

  await using _last = await bed.startWorker(4);
  await calls;
  await expectSound(bed.administrator, ends, 90_000);
  expect(ends.size).toBe(1 + tenants);
  expect(kills).toBeGreaterThanOrEqual(5);
  expect(watched.length).toBeGreaterThan(0);
  expect((await Promise.all(watched)).filter((events) => !areGapless(events))).toEqual([]);
});

/** Does to the tenant what its life holds. @returns how it ends */
async function live(bed: FaultBed, id: string, { changes, end }: Life): Promise<End> {
  for (const change of changes) {
    if (change === 'cancel') {
      // Comes at any moment of the provisioning, or too late.
      const refused = await cancelNewest(bed, id).catch((error: unknown) => error);
      if (refused instanceof InvalidStateError) return 'ACTIVE';
      if (refused) throw refused;
      continue;
    }
    // Ends when the operation that is under way does.
    await eventsOf(bed, id);
    await bed.core.tenants[change](editor, id);
  }
  return end;
}

/** Starts and kills workers until all is called for and done, or there were enough. @returns how many were killed */
async function killAtRandom(bed: FaultBed, random: Random, called: () => boolean): Promise<number> {
  const workers = new Set<ServiceProcess>();
  let kills = 0;
  async function kill(worker: ServiceProcess): Promise<void> {
    workers.delete(worker);
    worker.signal('SIGKILL');
    await worker.end;
  }
  try {
    while (kills < mostKills && !(called() && (await unfinished(bed)) === 0)) {
      const start = workers.size === 0 || (workers.size < mostWorkers && random.next() < 0.5);
      if (start) {
        workers.add(bed.spawnWorker(4));
      } else {
        await kill(random.pick([...workers]));
        kills += 1;
      }
      await progress(bed, random.next() * mostEvents);
    }
  } finally {
    for (const worker of workers) await kill(worker);
  }
  return kills;
}

/** Waits until so many events were told, or nothing has moved for long. */
async function progress(bed: FaultBed, events: number): Promise<void> {
  const [began, before] = [Date.now(), await told(bed)];
  await eventually(
    async () => (await told(bed)) >= before + events || Date.now() - began > longestPauseMs,
    20_000,
  );
}

async function told({ administrator }: FaultBed): Promise<number> {
  const [row] = await administrator.query('SELECT count(*)::int AS told FROM provisioning_events');
  return Number(row?.told);
}

async function unfinished({ administrator }: FaultBed): Promise<number> {
  return (await administrator.query(`SELECT FROM operations WHERE state IN ('PENDING', 'RUNNING')`)).length;
}
