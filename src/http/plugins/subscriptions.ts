import { isAsyncIterable } from '@envelop/core';
import type { Plugin } from 'graphql-yoga';
import type { Gauge } from 'prom-client';
import type { Allowance } from '../../core/allowance.ts';
import type { GraphqlContext } from '../../schema/context.ts';
import { publicError } from '../errors.ts';

export interface Subscriptions {
  readonly plugin: Plugin<GraphqlContext>;
  /** Ends every subscription, now and from now on, as if its last event had come. */
  complete(): void;
}

/**
 * Knows the subscriptions that stream: counts them, refuses those that are too many for one principal, and ends each when
 * its client goes away or the server drains.
 */
export function createSubscriptions(
  active: Pick<Gauge, 'inc' | 'dec'>,
  allowance: Pick<Allowance, 'openStream'>,
): Subscriptions {
  const open = new Set<() => void>();
  let completed = false;

  function track<T>(
    stream: AsyncIterable<T>,
    signal: AbortSignal,
    close: () => void,
  ): AsyncIterableIterator<T> {
    const iterator = stream[Symbol.asyncIterator]();
    // Whoever waits for the next value is told that there is none.
    const end = () => {
      release();
      iterator.return?.().catch(() => {});
    };
    const release = () => {
      if (open.delete(end)) active.dec();
      close();
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
          if (!isAsyncIterable(result)) return;
          try {
            const close = allowance.openStream(context.principal);
            setResult(track(result, context.request.signal, close));
          } catch (error) {
            letGo(result);
            const refusal = publicError(error);
            if (refusal === null) throw error;
            setResult({ errors: [refusal] });
          }
        },
      }),
      onResultProcess({ result, resultProcessor }) {
        // The client accepts no stream and is told so (406); nobody will ever ask this one for a value.
        if (isAsyncIterable(result) && resultProcessor === undefined) letGo(result);
      },
    },
    complete() {
      completed = true;
      for (const end of open) end();
    },
  };
}

/** Ends a stream that nobody asks for a value. */
function letGo(stream: AsyncIterable<unknown>): void {
  stream[Symbol.asyncIterator]()
    .return?.()
    .catch(() => {});
}
