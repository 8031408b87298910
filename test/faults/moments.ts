import { operationSteps, type StartableKind } from '../../src/core/operation-steps.ts';
import { steps as work } from '../../src/workers/steps/steps.ts';

/** A transaction of whoever runs an operation, at whose commit it is killed. */
export interface Moment {
  /** As in a `FaultPoint`. */
  readonly place: string;
  /** Whether the commit succeeded, which the killed one never heard, or the server had not come to it. */
  readonly outcome: 'lost' | 'kept';
  /** Whoever comes next passes here again, and may be killed again. */
  readonly again: boolean;
}

/** Of an operation that goes forward: it is taken, and each step begins, fails, or is done. */
export function momentsForward(kind: StartableKind): Moment[] {
  const steps = operationSteps[kind];
  return moments(
    steps.map((step) => ({ step, done: `SUCCESS ${step === steps.at(-1) ? 'SUCCEEDED' : 'RUNNING'}` })),
  );
}

/** The last of them. */
export function lastMoment(kind: StartableKind): Moment {
  return { place: `${operationSteps[kind].at(-1)} SUCCESS SUCCEEDED`, outcome: 'lost', again: true };
}

/** Of one that is cancelled when all but its last step are done: it is taken, and each undoing begins, fails, or is done. */
export function momentsBackward(kind: StartableKind): Moment[] {
  const [first] = operationSteps[kind];
  const undone = operationSteps[kind].filter((step) => work[step].undo).reverse();
  return [
    ...moments(undone.map((step) => ({ step, done: 'PENDING RUNNING' }))),
    { place: `${first} PENDING CANCELLED`, outcome: 'lost', again: true },
    { place: `${first} PENDING CANCELLED`, outcome: 'kept', again: false },
  ];
}

function moments(walk: readonly { readonly step: string; readonly done: string }[]): Moment[] {
  const begun = walk.map(({ step }) => `${step} IN_PROGRESS RUNNING`);
  const ended = walk.flatMap(({ step, done }) => [`${step} ${done}`, `${step} FAILED PENDING`]);
  return [
    // Once is enough: who is held here for the second time looks dead, its lease having run out long ago.
    { place: 'taken', outcome: 'lost', again: false },
    { place: 'taken', outcome: 'kept', again: false },
    ...begun.flatMap((place): Moment[] => [
      { place, outcome: 'lost', again: true },
      { place, outcome: 'kept', again: true },
    ]),
    ...ended.flatMap((place): Moment[] => [
      { place, outcome: 'lost', again: true },
      { place, outcome: 'kept', again: false },
    ]),
  ];
}
