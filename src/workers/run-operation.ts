import type { Logger } from 'pino';
import type { ProvisioningEvent } from '../core/model.ts';
import type { EventFeed, OperationJournal, SqlSession, TakenOperation } from '../core/ports.ts';
import { FencedOffError } from '../core/ports.ts';
import { PermanentStepError, type Step, type StepContext } from './step.ts';
import { steps } from './steps/steps.ts';

/** How often an operation is tried before it is FAILED. */
const attempts = 5;
const longestRetryMs = 30_000;

export interface RunnerOptions {
  readonly journal: OperationJournal;
  readonly feed: Pick<EventFeed, 'publish'>;
  /** How often a runner shows that it lives, milliseconds; well below the lease. */
  readonly renewIntervalMs: number;
  /** What the wait before the first retry is made of, milliseconds; it doubles with each. */
  readonly firstRetryMs: number;
  readonly contextOf: (tenantId: string, sql: SqlSession) => StepContext;
  /** Called once per operation, when it ends. */
  readonly onEnd: (end: OperationEnd) => void;
  readonly log: Logger;
}

export interface OperationEnd {
  readonly kind: ProvisioningEvent['kind'];
  readonly state: 'SUCCEEDED' | 'FAILED';
  /** From acceptance to the end, seconds. */
  readonly seconds: number;
}

/**
 * The function that walks one operation to its end, or to its next retry. It never throws for what an operation does:
 * the queue only dispatches, what is left to do stands in the registry.
 */
export function createOperationRunner({
  journal,
  feed,
  renewIntervalMs,
  firstRetryMs,
  contextOf,
  onEnd,
  log,
}: RunnerOptions) {
  return async function runOperation(operationId: string): Promise<void> {
    const taken = await journal.take(operationId);
    if (taken === null) return;
    const renewal = setInterval(() => {
      journal
        .renew(taken)
        .catch((error: unknown) => log.warn({ err: error, operationId }, 'a lease was not renewed'));
    }, renewIntervalMs);
    try {
      for (const { position, name, done } of taken.steps) {
        if (!done && !(await runStep(taken, position, steps[name]))) return;
      }
    } catch (error) {
      if (!(error instanceof FencedOffError)) throw error;
      log.info({ operationId }, 'the operation belongs to somebody else now');
    } finally {
      clearInterval(renewal);
    }
  };

  /** Whether the step succeeded. */
  async function runStep(taken: TakenOperation, position: number, step: Step): Promise<boolean> {
    tell(taken, await journal.begin(taken, position));
    try {
      tell(
        taken,
        await journal.perform(taken, position, (sql) =>
          perform(step, contextOf(taken.operation.tenantId, sql)),
        ),
      );
      return true;
    } catch (error) {
      if (error instanceof FencedOffError) throw error;
      const final = error instanceof PermanentStepError || taken.operation.attempt >= attempts;
      log.warn({ err: error, operationId: taken.operation.id, final }, 'a step failed');
      tell(
        taken,
        await journal.fail(
          taken,
          position,
          reasonOf(error),
          final ? null : retryDelay(taken.operation.attempt, firstRetryMs),
        ),
      );
      return false;
    }
  }

  function tell(taken: TakenOperation, event: ProvisioningEvent): void {
    feed.publish([event]);
    const { operationState: state, kind } = event;
    if (state === 'SUCCEEDED' || state === 'FAILED') {
      const seconds = (event.createdAt.getTime() - taken.operation.createdAt.getTime()) / 1000;
      onEnd({ kind, state, seconds });
    }
  }
}

async function perform(step: Step, context: StepContext): Promise<void> {
  if (!(await step.probe(context))) await step.apply(context);
  await step.verify?.(context);
}

/** Exponential with full jitter, milliseconds: runners that failed together do not come back together. */
function retryDelay(attempt: number, firstRetryMs: number): number {
  const ceiling = Math.min(longestRetryMs, firstRetryMs * 2 ** attempt);
  return Math.round(ceiling / 2 + Math.random() * (ceiling / 2));
}

/** One line for watchers; PostgreSQL's messages name objects, not values. */
function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return (message.split('\n')[0] ?? '').slice(0, 500) || 'the step failed without saying why';
}
