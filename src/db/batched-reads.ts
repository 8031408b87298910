import { withoutCancellation } from '../core/cancellation.ts';
import { UnavailableError } from '../core/errors.ts';
import { Timeouts } from '../core/timeouts.ts';
import { readMs, withinTime } from '../core/within-time.ts';

export interface BatchedReadsOptions<Value> {
  /** Reads on their way at once, at most. */
  readonly atOnce: number;
  /** Keys of one read, at most; each of them may be asked for by many. */
  readonly size: number;
  /** What is there, by its key. */
  readonly read: (keys: readonly string[]) => Promise<ReadonlyMap<string, Value>>;
}

interface Asked<Value> {
  resolve(value: Value | null): void;
  reject(error: unknown): void;
  /** Runs out when this has taken as long as a read may, waiting included. */
  readonly limit: Disposable;
}

/** Who asks for each key. */
type Batch<Value> = Map<string, Set<Asked<Value>>>;

/**
 * Reads for everybody who asks in one turn of the event loop, and for those who have to wait until there is room for
 * another read, by one read: each sees what was committed before it asked. It goes on when one of them leaves, until it
 * has taken as long as a read may.
 * @returns what is there by a key, or null; it throws what the read throws, and `UnavailableError` when that took too long
 */
export function createBatchedReads<Value>({
  atOnce,
  size,
  read,
}: BatchedReadsOptions<Value>): (key: string) => Promise<Value | null> {
  const waiting: Batch<Value> = new Map();
  const limits = new Timeouts(readMs);
  let running = 0;
  let isPlanned = false;

  function plan(): void {
    if (isPlanned || running >= atOnce || waiting.size === 0) return;
    isPlanned = true;
    setImmediate(begin);
  }

  function begin(): void {
    isPlanned = false;
    // All may have given up meanwhile.
    if (waiting.size === 0) return;
    const batch: Batch<Value> = new Map();
    for (const [key, all] of waiting) {
      if (batch.size === size) break;
      batch.set(key, all);
      waiting.delete(key);
    }
    running += 1;
    readAll(batch).finally(() => {
      running -= 1;
      plan();
    });
    plan();
  }

  async function readAll(batch: Batch<Value>): Promise<void> {
    try {
      const found = await withoutCancellation(() => withinTime(() => read([...batch.keys()])));
      for (const [key, all] of batch) for (const { resolve } of all) resolve(found.get(key) ?? null);
    } catch (error) {
      for (const all of batch.values()) for (const { reject } of all) reject(error);
    } finally {
      for (const all of batch.values()) for (const { limit } of all) limit[Symbol.dispose]();
    }
  }

  /** Those that still wait for their read to begin are not read any more when nobody else asks for them. */
  function giveUp(key: string, asked: Asked<Value>): void {
    const all = waiting.get(key);
    if (all?.delete(asked) && all.size === 0) waiting.delete(key);
    asked.reject(new UnavailableError());
  }

  return (key) =>
    new Promise((resolve, reject) => {
      const asked: Asked<Value> = { resolve, reject, limit: limits.start(() => giveUp(key, asked)) };
      const all = waiting.get(key);
      if (all === undefined) waiting.set(key, new Set([asked]));
      else all.add(asked);
      plan();
    });
}
