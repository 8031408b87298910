import { describe, expect, test } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { type End, expectSound, projectMigrations, readTenantFiles } from './expect-sound.ts';
import { accept, cancelNewest, createFaultBed, type FaultBed } from './fault-bed.ts';
import { type FaultPoints, installFaultPoints } from './fault-points.ts';
import { lastMoment, type Moment, momentsBackward, momentsForward } from './moments.ts';
import { accepted, kinds, scenarios } from './scenarios.ts';
import { withEach } from './with-each.ts';

/** From the start of a worker until it is held everywhere. */
const heldWithinMs = 60_000;
const soundWithinMs = 90_000;
/** As many operations as a worker can have at once, so that none waits for those that are held. */
const concurrency = 64;

/** A tenant, and the moment of its operation at which the worker is killed. */
type Victim = Moment & { readonly tenantId: string };

describe('kill -9 of the worker, and of the next one at the same places, changes nothing of the end', () => {
  test.concurrent.each(kinds)(
    'at every step boundary and in the middle of every step of a %s',
    async (kind) => {
      await using bed = await createFaultBed();
      await using points = await installFaultPoints(bed.app);
      const moments = momentsForward(kind);
      const tenants = await accepted(bed, kind, moments.length);
      await killedTwice(bed, points, victims(tenants, moments));
      await expectEnd(bed, tenants, scenarios[kind].end);
      expect(await newestOperations(bed, tenants)).toEqual([
        { kind, state: 'SUCCEEDED', count: tenants.length },
      ]);
    },
  );

  const cancellable = kinds.filter((kind) => scenarios[kind].cancelled !== null);
  test.concurrent.each(cancellable)(
    'at every boundary and in the middle of all that is undone of a cancelled %s',
    async (kind) => {
      await using bed = await createFaultBed();
      await using points = await installFaultPoints(bed.app);
      const moments = momentsBackward(kind);
      const tenants = await accepted(bed, kind, moments.length);
      await killed(
        bed,
        points,
        victims(
          tenants,
          moments.map(() => lastMoment(kind)),
        ),
      );
      await withEach(tenants, 4, (id) => cancelNewest(bed, id));
      await killedTwice(bed, points, victims(tenants, moments));
      await expectEnd(bed, tenants, scenarios[kind].cancelled ?? 'GONE');
      expect(await newestOperations(bed, tenants)).toEqual([
        { kind, state: 'CANCELLED', count: tenants.length },
      ]);
    },
  );

  test.concurrent('between the commands with which a step makes a schema and its tables', async () => {
    await using bed = await createFaultBed();
    await using points = await installFaultPoints(bed.app);
    const { tables } = await readTenantFiles(projectMigrations);
    const commands = ['CREATE SCHEMA tenant', ...tables.map((table) => `CREATE TABLE tenant.${table}`)];
    const moments = commands.flatMap((place): Moment[] => [
      { place, outcome: 'lost', again: true },
      // The orphaned session goes on to the end of what it was sent. Behind CREATE SCHEMA that is the end of its
      // transaction, unless it notices before that nobody listens.
      { place, outcome: 'kept', again: place !== commands[0] },
    ]);
    const tenants = await accepted(bed, 'PROVISION', moments.length);
    await killedTwice(bed, points, victims(tenants, moments));
    await expectEnd(bed, tenants, 'ACTIVE');
  });
});

test('kill -9 of a worker that had just finished all that there was leaves no job behind', async () => {
  await using bed = await createFaultBed();
  await using points = await installFaultPoints(bed.app);
  const tenantId = await accept(bed);
  await killed(bed, points, [{ ...lastMoment('PROVISION'), outcome: 'kept', tenantId }]);
  await expectEnd(bed, [tenantId], 'ACTIVE');
});

function victims(tenants: readonly string[], moments: readonly Moment[]): Victim[] {
  return tenants.flatMap((tenantId, index) => {
    const moment = moments[index];
    return moment ? [{ ...moment, tenantId }] : [];
  });
}

async function killedTwice(bed: FaultBed, points: FaultPoints, all: readonly Victim[]): Promise<void> {
  await killed(bed, points, all);
  await untilLeasesEnd(bed);
  await killed(
    bed,
    points,
    all.filter(({ again }) => again),
  );
}

/** From then on a worker comes to everything at once, and nothing is held for so long that its worker looks dead. */
async function untilLeasesEnd({ administrator }: FaultBed): Promise<void> {
  const held = 'SELECT FROM operations WHERE lease_until > clock_timestamp()';
  await eventually(async () => (await administrator.query(held)).length === 0, 20_000);
}

/** Starts a worker, and kills it when it is at all these moments at once. */
async function killed(bed: FaultBed, points: FaultPoints, all: readonly Victim[]): Promise<void> {
  await points.set(all);
  await using worker = await bed.startWorker(concurrency);
  await points.untilHeld(heldWithinMs);
  worker.signal('SIGKILL');
  await worker.end;
  const lost = all.filter(({ outcome }) => outcome === 'lost');
  await points.clear(new Set(lost.map(({ tenantId }) => tenantId)));
}

async function expectEnd(bed: FaultBed, tenants: readonly string[], end: End): Promise<void> {
  await using _worker = await bed.startWorker(4);
  const ends = new Map(tenants.map((id) => [id, end]));
  await expectSound(bed.administrator, ends.set(bed.bystander, 'ACTIVE'), soundWithinMs);
}

async function newestOperations({ administrator }: FaultBed, tenants: readonly string[]) {
  return administrator.query(
    `SELECT kind::text, state::text, count(*)::int
     FROM tenants JOIN operations ON operations.id = tenants.operation_id WHERE tenants.id = ANY ($1) GROUP BY 1, 2`,
    [tenants],
  );
}
