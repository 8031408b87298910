import { withoutCancellation } from '../core/cancellation.ts';
import { withinTime } from '../core/within-time.ts';

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
}

/** Who asks for each key. */
type Batch<Value> = Map<string, Asked<Value>[]>;

/**
 * Reads for everybody who asks in one turn of the event loop, and for those who have to wait until there is room for
 * another read, by one read: each sees what was committed before it asked. It goes on to its end, also when one of them
 * leaves, or until it has taken as long as a read may.
 * @returns what is there by a key, or null; it throws what the read throws, and `UnavailableError` when that took too long
 */
export function createBatchedReads<Value>({
  atOnce,
  size,
  read,
}: BatchedReadsOptions<Value>): (key: string) => Promise<Value | null> {
  const waiting: Batch<Value> = new Map();
  let running = 0;
  let isPlanned = false;

  function plan(): void {
    if (isPlanned || running >= atOnce || waiting.size === 0) return;
    isPlanned = true;
    setImmediate(begin);
  }

  function begin(): void {
    isPlanned = false;
    const batch: Batch<Value> = new Map([...waiting].slice(0, size));
    for (const key of batch.keys()) waiting.delete(key);
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
      for (const { reject } of [...batch.values()].flat()) reject(error);
    }
  }

  return (key) =>
    new Promise((resolve, reject) => {
      const asked = waiting.get(key);
      if (asked === undefined) waiting.set(key, [{ resolve, reject }]);
      else asked.push({ resolve, reject });
      plan();
    });
}
