import type { Logger } from 'pino';
import type { OperationJournal, TakenOperation } from '../core/ports.ts';

export interface Lease extends Disposable {
  /** Aborts when the operation belongs to somebody else. */
  readonly lost: AbortSignal;
}

/** Keeps an operation in the hands of its runner, until it is disposed of. */
export function holdLease(
  journal: Pick<OperationJournal, 'renew'>,
  taken: TakenOperation,
  renewIntervalMs: number,
  log: Pick<Logger, 'warn'>,
): Lease {
  const lost = new AbortController();
  const { id: operationId } = taken.operation;
  const renewal = setInterval(() => {
    journal.renew(taken).then(
      (held) => {
        if (!held) lost.abort(new Error('the operation belongs to somebody else now'));
      },
      (error: unknown) => log.warn({ err: error, operationId }, 'a lease was not renewed'),
    );
  }, renewIntervalMs);
  return { lost: lost.signal, [Symbol.dispose]: () => clearInterval(renewal) };
}
