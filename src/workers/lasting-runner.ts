import { setTimeout as pause } from 'node:timers/promises';
import type { Runner } from 'graphile-worker';
import type { Logger } from 'pino';

/** Before a runner that gave up is replaced, milliseconds. */
const restartMs = 500;

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
      await runner.promise.catch((error: unknown) => log.warn({ err: error }, 'the queue gave up'));
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
