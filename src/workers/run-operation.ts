import type { Logger } from 'pino';
import type { ProvisioningEvent } from '../core/model.ts';
import {
  type EventFeed,
  FencedOffError,
  type OperationJournal,
  type TakenOperation,
  type TakenStep,
} from '../core/ports.ts';
import { holdLease } from './lease.ts';
import { isWorthRetrying } from './retry-policy.ts';
import { StepError } from './step.ts';
import { reasonOf } from './step-reason.ts';
import type { StepRunner } from './step-runner.ts';

/** How often an operation is tried before it is FAILED. */
const attempts = 5;
const longestRetryMs = 30_000;

export interface RunnerOptions {
  readonly journal: OperationJournal;
  readonly feed: Pick<EventFeed, 'publish'>;
  readonly stepRunner: (taken: TakenOperation) => StepRunner;
  /** How often a runner shows that it lives, milliseconds; well below the lease. */
  readonly renewIntervalMs: number;
  /** What the wait before the first retry is made of, milliseconds; it doubles with each. */
  readonly firstRetryMs: number;
  /** Called once per operation, when it ends. */
  readonly onEnd: (end: OperationEnd) => void;
  readonly log: Logger;
}

export interface OperationEnd {
  readonly kind: ProvisioningEvent['kind'];
  readonly state: 'SUCCEEDED' | 'FAILED' | 'CANCELLED';
  /** From acceptance to the end, seconds. */
  readonly seconds: number;
}

/**
 * The function that walks one operation to its end, or to its next retry: forwards, or backwards when it is being
 * cancelled. It never throws for what a step does: the queue only dispatches, what is left to do stands in the registry.
 */
export function createOperationRunner({
  journal,
  feed,
  stepRunner,
  renewIntervalMs,
  firstRetryMs,
  onEnd,
  log,
}: RunnerOptions) {
  return async function runOperation(operationId: string): Promise<void> {
    try {
      const taken = await journal.take(operationId);
      if (taken !== null) await run(taken);
    } catch (error) {
      // The queue would put it off longer and longer; the sweep finds it when its lease is over.
      log.warn({ err: error, operationId }, 'an operation could not be run to an end; it is queued again');
    }
  };

  async function run(taken: TakenOperation): Promise<void> {
    const { id: operationId } = taken.operation;
    using lease = holdLease(journal, taken, renewIntervalMs, log);
    try {
      await journal.during(taken, () => walk(taken, lease.lost));
    } catch (error) {
      if (!(error instanceof FencedOffError)) throw error;
      log.info({ operationId }, 'the operation belongs to somebody else now');
    }
  }

  async function walk(taken: TakenOperation, lost: AbortSignal): Promise<void> {
    const { cancelling } = taken.operation;
    const steps = stepRunner(taken);
    const left = cancelling ? steps.toUndo : steps.toPerform;
    const run = cancelling ? steps.undo : steps.perform;
    const [first] = left;
    if (first !== undefined) {
      tell(taken, [await journal.begin(taken, first.position)]);
      if (taken.overdue)
        return fail(taken, first, new StepError('it was tried for a day without coming to its end'), true);
    }
    for (const [index, step] of left.entries()) {
      const next = left[index + 1]?.position ?? null;
      try {
        await run({ step, next, lost, tell: (events) => tell(taken, events) });
      } catch (error) {
        if (error instanceof FencedOffError) throw error;
        return fail(taken, step, error, taken.operation.attempt >= attempts || !isWorthRetrying(error));
      }
    }
    if (cancelling) tell(taken, [await journal.finishCancelling(taken)]);
  }

  async function fail(taken: TakenOperation, step: TakenStep, error: unknown, final: boolean): Promise<void> {
    const { id, attempt } = taken.operation;
    log.warn({ err: error, operationId: id, step: step.name, final }, 'a step failed');
    const retryInMs = final ? null : retryDelay(attempt, firstRetryMs);
    tell(taken, [await journal.fail(taken, step.position, reasonOf(error), retryInMs)]);
  }

  function tell({ operation }: TakenOperation, events: readonly ProvisioningEvent[]): void {
    feed.publish(events);
    for (const { operationState: state, kind, createdAt } of events) {
      if (state !== 'SUCCEEDED' && state !== 'FAILED' && state !== 'CANCELLED') continue;
      // Its end was its failure or will be its cancellation.
      if (state === 'FAILED' && operation.cancelling) continue;
      onEnd({ kind, state, seconds: (createdAt.getTime() - operation.createdAt.getTime()) / 1000 });
    }
  }
}

/** Exponential with jitter, milliseconds: runners that failed together do not come back together. */
function retryDelay(attempt: number, firstRetryMs: number): number {
  const ceiling = Math.min(longestRetryMs, firstRetryMs * 2 ** attempt);
  return Math.round(ceiling / 2 + Math.random() * (ceiling / 2));
}
