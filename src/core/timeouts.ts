/** One that waits. Disposed of, it is stopped: its callback is not called any more, and nothing holds it. */
class Timeout implements Disposable {
  /** Of `performance.now()`. */
  readonly time: number;
  #callback: (() => void) | null;
  readonly #waiting: Set<Timeout>;

  constructor(time: number, callback: () => void, waiting: Set<Timeout>) {
    this.time = time;
    this.#callback = callback;
    this.#waiting = waiting;
    waiting.add(this);
  }

  expire(): void {
    const callback = this.#callback;
    this[Symbol.dispose]();
    callback?.();
  }

  [Symbol.dispose](): void {
    // Tables that a set has outgrown hold on to what was in them, and each to the next one, until the old generation is
    // collected: whatever the callback knows would be promoted with them.
    this.#callback = null;
    this.#waiting.delete(this);
  }
}

/**
 * Timers of one duration, most of which are stopped before their time. One of Node's stands for all of them, so that to
 * start and to stop one costs next to nothing; it keeps no process alive.
 */
export class Timeouts {
  readonly #durationMs: number;
  /** In the order of their time, since all last as long. */
  readonly #waiting = new Set<Timeout>();
  #timer: NodeJS.Timeout | undefined;

  /** @param durationMs milliseconds */
  constructor(durationMs: number) {
    this.#durationMs = durationMs;
  }

  /** Calls back once, unless what is answered is disposed of before. */
  start(callback: () => void): Disposable {
    this.#timer ??= this.#wait(this.#durationMs);
    return new Timeout(performance.now() + this.#durationMs, callback, this.#waiting);
  }

  #wait(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#look(), Math.ceil(ms)).unref();
  }

  #look(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const timeout of this.#waiting) {
      if (timeout.time > now) {
        this.#timer ??= this.#wait(timeout.time - now);
        return;
      }
      timeout.expire();
    }
  }
}
