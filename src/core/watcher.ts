import { inboxLimit } from './inbox.ts';
import type { EventStream } from './inbox-stream.ts';
import type { ProvisioningEvent } from './model.ts';

/** One of those who share a stream. */
export interface Watcher {
  /** What it hands out; to be asked for one event at a time. */
  readonly stream: EventStream;
  /** Hands the event out when it is asked for. @returns whether there is room for another one */
  push(event: ProvisioningEvent): boolean;
  /** What follows when all that was pushed is handed out; it is begun then, by whoever asks. */
  goOnWith(rest: () => EventStream): void;
}

export interface WatcherOptions {
  /** Called whenever somebody waits for an event that is not there. */
  readonly onWait: () => void;
  /** Called when the stream is returned, once. */
  readonly onReturn: () => void;
}

type Result = IteratorResult<ProvisioningEvent, undefined>;

const over: Result = { done: true, value: undefined };

/** Holds as many events as an inbox. */
export function createWatcher({ onWait, onReturn }: WatcherOptions): Watcher {
  let queue: ProvisioningEvent[] = [];
  let waiting: PromiseWithResolvers<Result> | null = null;
  let begin: (() => EventStream) | null = null;
  let rest: EventStream | null = null;
  let returned = false;

  function next(): Promise<Result> {
    if (returned) return Promise.resolve(over);
    const event = queue.shift();
    if (event !== undefined) return Promise.resolve({ done: false, value: event });
    if (begin !== null) {
      rest ??= begin();
      return rest.next();
    }
    waiting = Promise.withResolvers();
    onWait();
    return waiting.promise;
  }

  function answer(result: Result | Promise<Result>): void {
    waiting?.resolve(result);
    waiting = null;
  }

  return {
    stream: {
      next,
      async return() {
        if (!returned) onReturn();
        returned = true;
        queue = [];
        answer(over);
        await rest?.return?.();
        return over;
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    },
    push(event) {
      if (waiting === null) queue.push(event);
      else answer({ done: false, value: event });
      return queue.length < inboxLimit;
    },
    goOnWith(stream) {
      begin = stream;
      if (waiting !== null) answer(next());
    },
  };
}
