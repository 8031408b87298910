import { setTimeout as pause } from 'node:timers/promises';
import type { Runner } from 'graphile-worker';
import type { Logger } from 'pino';

/** Before a runner that gave up is replaced, milliseconds. */
const restartMs = 500;
/** How long a runner that gave up may take to come to its end, milliseconds. */
const endWithinMs = 2_000;

/**
 * Keeps a runner of the queue going: one that gives up, the database being out, is replaced when that can be.
 * @throws what the first `start` throws
 */
export async function startLastingRunner(
  start: () => Promise<Runner>,
  log: Pick<Logger, 'warn'>,
): Promise<{ stop(): Promise<void> }> {
  const stopping = new AbortController();
  const { signal } = stopping;
  let runner = await start();

  async function last(): Promise<void> {
    for (;;) {
      await ended(runner).catch((error: unknown) => log.warn({ err: error }, 'the queue gave up'));
      const next = await another();
      if (next === null) return;
      runner = next;
      if (signal.aborted) await runner.stop();
    }
  }

  async function another(): Promise<Runner | null> {
    for (;;) {
      await pause(restartMs, null, { signal }).catch(() => {});
      if (signal.aborted) return null;
      try {
        return await start();
      } catch (error) {
        log.warn({ err: error }, 'the queue cannot be reached; it is tried again');
      }
    }
  }

  const lasting = last();
  let stopped: Promise<void> | null = null;
  return {
    stop() {
      stopping.abort();
      // One that gave up by itself refuses to be stopped.
      stopped ??= runner
        .stop()
        .catch(() => {})
        .then(() => lasting);
      return stopped;
    },
  };
}

/**
 * Resolves or rejects when the runner does, or when it gave up and does not come to its end: it may wait for ever for the
 * ends of jobs that it could not note, once there were several (graphile/worker#636).
 */
function ended(runner: Runner): Promise<void> {
  const { promise: overdue, reject } = Promise.withResolvers<never>();
  runner.events.once('pool:gracefulShutdown', () => {
    const giveUp = () => {
      // Its cron and its listener; it refuses when it came to its end after all.
      runner.stop().catch(() => {});
      reject(new Error('it did not come to its end'));
    };
    setTimeout(giveUp, endWithinMs).unref();
  });
  return Promise.race([runner.promise, overdue]);
}
