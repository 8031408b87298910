import { Logger, run } from 'graphile-worker';
import type pg from 'pg';
import type { Logger as Log } from 'pino';
import type { LeaseStore, OperationJournal } from '../core/ports.ts';
import { expireIdempotencyKeys } from './expire-idempotency-keys.ts';
import { expireLeases } from './expire-leases.ts';
import { startLastingRunner } from './lasting-runner.ts';
import { periodically } from './periodically.ts';

export interface WorkerOptions {
  readonly pool: pg.Pool;
  readonly journal: OperationJournal;
  readonly leases: Pick<LeaseStore, 'expired' | 'end' | 'endStrays' | 'forget'>;
  /** The queue's task of operations; its payload is `{ operationId }`. */
  readonly operationTask: string;
  readonly runOperation: (operationId: string) => Promise<void>;
  /** Operations at once in this process. */
  readonly concurrency: number;
  /** How often lost operations are looked for, and expired leases, milliseconds. */
  readonly sweepIntervalMs: number;
  readonly log: Log;
}

export interface Worker {
  /** Takes no more jobs, waits for those that run. */
  stop(): Promise<void>;
}

/** Runs the jobs of the queue, looks for operations whose runner died, and does the periodic work. */
export async function startWorker(options: WorkerOptions): Promise<Worker> {
  const { pool, journal, leases, operationTask, runOperation, concurrency, sweepIntervalMs, log } = options;
  async function revive(): Promise<void> {
    const revived = await journal.revive();
    if (revived > 0) log.info({ revived }, 'operations of a dead worker were queued again');
  }
  const start = () =>
    run({
      pgPool: pool,
      concurrency,
      noHandleSignals: true,
      // NOTIFY wakes the worker; polling is for jobs whose time comes.
      pollInterval: 1_000,
      gracefulShutdownAbortTimeout: 8_000,
      logger: new Logger(
        () => (level, message) =>
          log[level === 'warning' ? 'warn' : level === 'error' ? 'error' : 'debug'](message),
      ),
      taskList: {
        [operationTask]: (payload) => runOperation(operationIdOf(payload)),
        expire_idempotency_keys: (_payload, { withPgClient }) => withPgClient(expireIdempotencyKeys),
      },
      crontab: '17 * * * * expire_idempotency_keys',
      // When the end of a job cannot be noted, the database being out, the queue's worker gives up, and we start it
      // again. Without these it would be a rejection that nobody handles, and end the process.
      preset: { worker: { completeJobBatchDelay: 0, failJobBatchDelay: 0 } },
    });

  const runner = await startLastingRunner(start, log);
  const sweeper = periodically(sweepIntervalMs, revive, (error) =>
    log.warn({ err: error }, 'the sweep for lost operations failed; it is repeated'),
  );
  // Apart from the other: a session that does not end must not keep the operations, nor the start.
  const expirer = periodically(
    sweepIntervalMs,
    () => expireLeases(leases, log),
    (error) => log.warn({ err: error }, 'the sweep for expired leases failed; it is repeated'),
  );
  await sweeper.first;
  return {
    stop() {
      sweeper.stop();
      expirer.stop();
      return runner.stop();
    },
  };
}

function operationIdOf(payload: unknown): string {
  const id =
    typeof payload === 'object' && payload !== null ? Reflect.get(payload, 'operationId') : undefined;
  if (typeof id !== 'string') throw new Error('the job of an operation names none');
  return id;
}
