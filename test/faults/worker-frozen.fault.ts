import { expect, test } from 'vitest';
import { operationSteps } from '../../src/core/operation-steps.ts';
import { eventually } from '../support/eventually.ts';
import { entries } from '../support/process.ts';
import { expectSound, projectMigrations, readTenantFiles } from './expect-sound.ts';
import { createFaultBed } from './fault-bed.ts';
import { installFaultPoints } from './fault-points.ts';
import { accepted } from './scenarios.ts';

/** Those before the one that makes the tables. */
const firstSteps = operationSteps.PROVISION.slice(0, 2);
const frozenAt = [
  'taken',
  ...firstSteps.flatMap((step) => [`${step} IN_PROGRESS RUNNING`, `${step} SUCCESS RUNNING`]),
];

test('a worker that stands still for longer than its lease, and goes on while another one is at work, changes nothing', async () => {
  await using bed = await createFaultBed();
  await using points = await installFaultPoints(bed.app);
  const { tables } = await readTenantFiles(projectMigrations);
  const tenants = await accepted(bed, 'PROVISION', frozenAt.length);
  await points.set(tenants.map((tenantId, index) => ({ tenantId, place: frozenAt[index] ?? '' })));
  await using frozen = await bed.startWorker(tenants.length);
  await points.untilHeld(20_000);
  frozen.signal('SIGSTOP');
  // Its transactions are committed; it does not know yet.
  await points.clear(new Set());

  await points.set(tenants.map((tenantId) => ({ tenantId, place: `CREATE TABLE tenant.${tables[0]}` })));
  await using other = await bed.startWorker(tenants.length);
  // In the middle of a step; no row of the registry is locked.
  await points.untilHeld(40_000);
  frozen.signal('SIGCONT');
  const fencedOff = () =>
    entries(frozen.stdout()).filter(({ msg }) => msg === 'the operation belongs to somebody else now');
  await eventually(() => fencedOff().length === tenants.length, 20_000);
  await points.clear(new Set());

  const ends = new Map([...tenants, bed.bystander].map((id) => [id, 'ACTIVE' as const]));
  await expectSound(bed.administrator, ends, 60_000);
  for (const worker of [frozen, other]) {
    worker.signal('SIGTERM');
    expect(await worker.end).toMatchObject({ code: 0, stderr: '' });
  }
});
