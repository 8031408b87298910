import { withCancellation } from '../core/cancellation.ts';
import type { ProvisioningEvent } from '../core/model.ts';
import {
  FencedOffError,
  type OperationJournal,
  type RecordedWork,
  type SqlSession,
  type TakenOperation,
  type TakenStep,
} from '../core/ports.ts';
import { type Step, type StepContext, StepError } from './step.ts';
import type { StepContexts } from './step-context.ts';
import { steps } from './steps/steps.ts';
import type { TenantMigrations } from './tenant-migrations.ts';

export interface StepRunnerOptions {
  readonly journal: OperationJournal;
  readonly contexts: (taken: TakenOperation) => StepContexts;
  readonly migrations: TenantMigrations;
  /** Runs `work` in a session of its own, as the service's role. */
  readonly session: (work: (session: SqlSession) => Promise<void>) => Promise<void>;
  /** How long a step may take that says nothing else, milliseconds. */
  readonly limitMs: number;
}

export interface StepRun {
  readonly step: TakenStep;
  /** The step that comes behind it. */
  readonly next: number | null;
  /** Aborts when the operation belongs to somebody else. */
  readonly lost: AbortSignal;
  readonly tell: (events: readonly ProvisioningEvent[]) => void;
}

/** Runs the steps of an operation that was taken. */
export interface StepRunner {
  /** The steps that are left, in order. */
  readonly toPerform: readonly TakenStep[];
  /** All that can be undone, the last one first: an earlier operation may have left what this one had yet to do. */
  readonly toUndo: readonly TakenStep[];
  /** @throws {FencedOffError} and whatever the step throws, or that it took too long */
  perform(run: StepRun): Promise<void>;
  /** @throws {FencedOffError} and whatever the step throws, or that it took too long */
  undo(run: StepRun): Promise<void>;
}

/** The function that makes the runner of an operation's steps, each within its time and only as long as it is ours. */
export function createStepRunner({ journal, contexts, migrations, session, limitMs }: StepRunnerOptions) {
  return (taken: TakenOperation): StepRunner => {
    const { target, inTransaction, againIfDenied } = contexts(taken);
    const recorded =
      (work: (context: StepContext) => Promise<void>): RecordedWork =>
      (sql, news) =>
        work(inTransaction(sql, news));

    return {
      toPerform: taken.steps.filter(
        ({ name, status }) => status !== 'SUCCESS' || known.get(name)?.isStale?.(taken, migrations),
      ),
      toUndo: taken.steps.filter(({ name }) => !known.has(name) || known.get(name)?.undo).reverse(),
      async perform({ step: { name, position }, next, lost, tell }) {
        const step = stepOf(name);
        return within(step.limitMs ?? limitMs, lost, async () => {
          await step.prepare?.({
            ...target,
            transaction: async (work) =>
              tell(await againIfDenied(() => journal.advance(taken, position, recorded(work)))),
            session: (work) => againIfDenied(() => session(work)),
          });
          const work = recorded(async (context) => {
            if (!(await step.probe(context))) await step.apply(context);
            await step.verify?.(context);
          });
          tell(await againIfDenied(() => journal.perform(taken, position, next, work)));
        });
      },
      async undo({ step: { name, position }, next, lost, tell }) {
        const step = stepOf(name);
        const work = recorded(async (context) => step.undo?.(context));
        return within(step.limitMs ?? limitMs, lost, async () =>
          tell(await againIfDenied(() => journal.undo(taken, position, next, work))),
        );
      },
    };
  };
}

// What the registry names may be of a later version than this worker.
const known: ReadonlyMap<string, Step> = new Map(Object.entries(steps));

function stepOf(name: string): Step {
  const step = known.get(name);
  if (step === undefined) throw new StepError(`this worker does not know the step ${name}; a newer one may`);
  return step;
}

/** Runs `work`; its statements are ended when it takes too long, or is somebody else's by now. */
async function within(limitMs: number, lost: AbortSignal, work: () => Promise<void>): Promise<void> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), limitMs);
  try {
    await withCancellation(AbortSignal.any([limit.signal, lost]), work);
  } catch (error) {
    if (lost.aborted) throw new FencedOffError('the lease ran out in the middle of a step', { cause: error });
    if (limit.signal.aborted) {
      throw new StepError(`the step took longer than ${limitMs / 1000} seconds`, { cause: error });
    }
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
