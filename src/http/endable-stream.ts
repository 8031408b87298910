/** A stream that whoever made it can end, too. */
export interface EndableStream<T> extends AsyncIterableIterator<T, undefined> {
  /** Ends it now, or behind `last`; also for who waits for its next value. One that has ended stays as it is. */
  end(last?: T): void;
  /** Fulfilled as soon as it has ended, also while a last value waits for its reader. */
  readonly ended: Promise<void>;
}

/**
 * The values that `next` answers, until it answers that there are none.
 * @param onEnd called once, as soon as the stream has ended: by itself, by a failure, by `end`, or because its reader
 *   returned it
 */
export function createEndableStream<T>(
  next: () => Promise<IteratorResult<T, unknown>>,
  onEnd: () => void,
): EndableStream<T> {
  const over: IteratorReturnResult<undefined> = { done: true, value: undefined };
  let last: T | undefined;
  let ended = false;
  const whenEnded = Promise.withResolvers<void>();
  /** Answers who waits. */
  let wake: (() => void) | null = null;

  function end(): void {
    if (ended) return;
    ended = true;
    whenEnded.resolve();
    onEnd();
  }

  function remaining(): IteratorResult<T, undefined> {
    const value = last;
    last = undefined;
    return value === undefined ? over : { done: false, value };
  }

  return {
    next() {
      if (ended) return Promise.resolve(remaining());
      return new Promise((resolve, reject) => {
        wake = () => resolve(remaining());
        next().then(
          (result) => {
            wake = null;
            if (result.done) end();
            resolve(result.done ? over : result);
          },
          (error: unknown) => {
            wake = null;
            end();
            reject(error);
          },
        );
      });
    },
    return() {
      last = undefined;
      end();
      wake?.();
      return Promise.resolve(over);
    },
    end(value) {
      if (ended) return;
      last = value;
      end();
      wake?.();
    },
    ended: whenEnded.promise,
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
