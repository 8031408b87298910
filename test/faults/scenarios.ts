import type { StartableKind } from '../../src/core/operation-steps.ts';
import { editor } from '../core/core-app.ts';
import { eventsOf } from '../workers/worker-app.ts';
import type { End } from './expect-sound.ts';
import { accept, type FaultBed } from './fault-bed.ts';
import { withEach } from './with-each.ts';

/** How a tenant comes to an operation of a kind, and what the operation leaves. */
export interface Scenario {
  /** What is done to an active tenant first. */
  readonly before: readonly Change[];
  /** Null: the tenant is new. */
  readonly start: Change | null;
  readonly end: End;
  /** When it is cancelled; null where it cannot be. */
  readonly cancelled: End | null;
}

type Change = 'suspend' | 'resume' | 'remove' | 'restore';

export const scenarios: Readonly<Record<StartableKind, Scenario>> = {
  PROVISION: { before: [], start: null, end: 'ACTIVE', cancelled: 'GONE' },
  SUSPEND: { before: [], start: 'suspend', end: 'INACTIVE', cancelled: 'ACTIVE' },
  RESUME: { before: ['suspend'], start: 'resume', end: 'ACTIVE', cancelled: 'INACTIVE' },
  DELETE: { before: [], start: 'remove', end: 'DELETED', cancelled: null },
  RESTORE: { before: ['remove'], start: 'restore', end: 'ACTIVE', cancelled: 'DELETED' },
};

export const kinds = Object.keys(scenarios) as StartableKind[];

/** Callers at once: more would wait for each other. */
const callers = 4;

/** Tenants with an operation of this kind that nobody has taken yet. @returns their ids */
export async function accepted(bed: FaultBed, kind: StartableKind, count: number): Promise<string[]> {
  const { before, start } = scenarios[kind];
  const ids: string[] = [];
  await withEach(Array.from({ length: count }), callers, async () => {
    ids.push(await accept(bed));
  });
  if (start === null) return ids;
  await bed.whileWorking((app) =>
    withEach(ids, callers, async (id) => {
      // Ends when the operation does.
      await eventsOf(app, id);
      for (const change of before) {
        await app.core.tenants[change](editor, id);
        await eventsOf(app, id);
      }
    }),
  );
  await withEach(ids, callers, async (id) => {
    await bed.core.tenants[start](editor, id);
  });
  return ids;
}
