/**
 * Timers of one duration, most of which are stopped before their time. One of Node's stands for all of them, so that to
 * start and to stop one costs next to nothing; it keeps no process alive.
 */
export class Timeouts {
  readonly #durationMs: number;
  /** What is called, and when: in the order of their time, since all last as long. */
  readonly #waiting = new Map<() => void, number>();
  #timer: NodeJS.Timeout | undefined;

  /** @param durationMs milliseconds */
  constructor(durationMs: number) {
    this.#durationMs = durationMs;
  }

  /** Calls back once, unless it is stopped before. Started anew, its time begins anew. */
  start(callback: () => void): void {
    this.#waiting.delete(callback);
    this.#waiting.set(callback, performance.now() + this.#durationMs);
    this.#timer ??= this.#wait(this.#durationMs);
  }

  stop(callback: () => void): void {
    this.#waiting.delete(callback);
  }

  #wait(ms: number): NodeJS.Timeout {
    return setTimeout(() => this.#look(), Math.ceil(ms)).unref();
  }

  #look(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const [callback, time] of this.#waiting) {
      if (time > now) {
        this.#timer ??= this.#wait(time - now);
        return;
      }
      this.#waiting.delete(callback);
      callback();
    }
  }
}
