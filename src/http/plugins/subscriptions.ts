import { isAsyncIterable } from '@envelop/core';
import type { Plugin } from 'graphql-yoga';
import type { Gauge } from 'prom-client';

export interface Subscriptions {
  readonly plugin: Plugin;
  /** Ends every subscription, now and from now on, as if its last event had come. */
  complete(): void;
}

/** Knows the subscriptions that stream: counts them, and ends each when its client goes away or the server drains. */
export function createSubscriptions(active: Pick<Gauge, 'inc' | 'dec'>): Subscriptions {
  const open = new Set<() => void>();
  let completed = false;

  function track<T>(stream: AsyncIterable<T>, signal: AbortSignal): AsyncIterableIterator<T> {
    const iterator = stream[Symbol.asyncIterator]();
    // Whoever waits for the next value is told that there is none.
    const end = () => {
      release();
      iterator.return?.().catch(() => {});
    };
    const release = () => {
      if (open.delete(end)) active.dec();
      signal.removeEventListener('abort', end);
    };
    open.add(end);
    active.inc();
    signal.addEventListener('abort', end, { once: true });
    if (completed || signal.aborted) end();
    return {
      async next() {
        try {
          const result = await iterator.next();
          if (result.done) release();
          return result;
        } catch (error) {
          release();
          throw error;
        }
      },
      async return() {
        release();
        await iterator.return?.();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  return {
    plugin: {
      onSubscribe: ({ context }) => ({
        onSubscribeResult({ result, setResult }) {
          if (isAsyncIterable(result)) setResult(track(result, context.request.signal));
        },
      }),
      onResultProcess({ result, resultProcessor }) {
        // The client accepts no stream and is told so (406); nobody will ever ask this one for a value.
        if (isAsyncIterable(result) && resultProcessor === undefined)
          result[Symbol.asyncIterator]().return?.();
      },
    },
    complete() {
      completed = true;
      for (const end of open) end();
    },
  };
}
