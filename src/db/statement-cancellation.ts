import { AsyncResource } from 'node:async_hooks';
import pg from 'pg';
import { currentSignal } from '../core/cancellation.ts';
import type { DatabaseSettings } from './database-settings.ts';
import { endBackends } from './end-backends.ts';

type Callback = (...args: unknown[]) => void;

/**
 * Makes the statements of a pool obey the signal of whoever runs them (see `core/cancellation.ts`). When it aborts in the
 * middle of a statement, the connection is closed at once, so that nobody borrows it again, and another one ends its
 * backend, which would not notice while it waits for a lock. A mere cancel request could arrive late and hit the
 * statement of the next borrower.
 */
export function cancelStatementsOfAborted(
  pool: pg.Pool,
  settings: DatabaseSettings,
  onError: (error: Error) => void,
): void {
  keepContextOfWaiting(pool);
  pool.on('connect', (client) => watchStatements(client, settings, onError));
}

/**
 * Who waits for a connection is called by whoever gives one back, and must find its own signal then. When that is
 * aborted, the connection goes to the next one, as it is.
 */
function keepContextOfWaiting(pool: pg.Pool): void {
  const { connect } = pool;
  const bound = (callback?: Callback): unknown => {
    if (callback === undefined) {
      return new Promise((resolve, reject) => {
        bound((error, client) => (error ? reject(error) : resolve(client)));
      });
    }
    const signal = currentSignal();
    if (signal?.aborted) return refuse([callback], signal.reason);
    const handed: Callback = (error, client, release) => {
      if (error || !signal?.aborted || typeof release !== 'function') return callback(error, client, release);
      release();
      callback(signal.reason);
    };
    return Reflect.apply(connect, pool, [AsyncResource.bind(handed)]);
  };
  Reflect.set(pool, 'connect', bound);
}

function watchStatements(client: pg.PoolClient, settings: DatabaseSettings, onError: (error: Error) => void) {
  const query = client.query;
  let ended = false;
  const end = () => {
    if (ended) return;
    ended = true;
    if (client instanceof pg.Client) {
      client.end().catch(onError);
      // With pipelining, that would wait for what is on its way.
      client.connection.stream.destroy();
    }
    endBackends(settings, [Reflect.get(client, 'processID')]).catch(onError);
  };
  const watched = (...args: unknown[]): unknown => {
    const run = (given: unknown[]): unknown => Reflect.apply(query, client, given);
    const signal = currentSignal();
    if (signal === undefined) return run(args);
    if (signal.aborted) {
      // Nobody waits for the answer. A connection in the middle of a transaction is closed: its owner, who cannot even
      // roll back any more, would give it back as it is.
      if (!isInTransaction(client)) return refuse(args, signal.reason);
      end();
      return run(args);
    }
    // One of its own for each statement: several may be on their way, and the end of one is not that of the others.
    const aborted = () => end();
    signal.addEventListener('abort', aborted, { once: true });
    return whenSettled(run, args, () => signal.removeEventListener('abort', aborted));
  };
  Reflect.set(client, 'query', watched);
}

function isInTransaction(client: pg.PoolClient): boolean {
  return client instanceof pg.Client && client.getTransactionStatus() !== 'I';
}

/** Runs a statement in either of pg's two styles, by callback or by promise, and calls `done` when it is over. */
function whenSettled(run: (args: unknown[]) => unknown, args: unknown[], done: () => void): unknown {
  const callback = callbackOf(args);
  if (callback !== null) {
    const last = (...results: unknown[]) => {
      done();
      callback(...results);
    };
    return run([...args.slice(0, -1), last]);
  }
  const result = run(args);
  if (result instanceof Promise) result.then(done, done);
  return result;
}

function refuse(args: unknown[], reason: unknown): unknown {
  const callback = callbackOf(args);
  if (callback === null) return Promise.reject(reason);
  process.nextTick(callback, reason);
  return undefined;
}

function callbackOf(args: unknown[]): Callback | null {
  const last = args.at(-1);
  return typeof last === 'function' ? (...results) => void Reflect.apply(last, undefined, results) : null;
}
