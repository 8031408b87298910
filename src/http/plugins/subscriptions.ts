import { isAsyncIterable } from '@envelop/core';
import {
  createSourceEventStream,
  type ExecutionResult,
  GraphQLError,
  getOperationAST,
  locatedError,
} from 'graphql';
import type { Plugin } from 'graphql-yoga';
import type { Gauge } from 'prom-client';
import type { Allowance } from '../../core/allowance.ts';
import { withCancellation } from '../../core/cancellation.ts';
import { UnauthenticatedError } from '../../core/errors.ts';
import { whenItIs } from '../../core/timer.ts';
import type { GraphqlContext } from '../../schema/context.ts';
import { createEndableStream, type EndableStream } from '../endable-stream.ts';
import { publicError } from '../errors.ts';
import { eventStreamHeaders } from '../event-stream.ts';
import { createSharedExecution, type SubscriptionArgs } from '../shared-execution.ts';
import type { WithinLimit } from '../time-limit.ts';
import type { Mask } from './error-masking.ts';

export interface SubscriptionsOptions {
  readonly active: Pick<Gauge, 'inc' | 'dec'>;
  readonly allowance: Pick<Allowance, 'openStream'>;
  readonly mask: Mask;
  /** For how long a subscription may take to begin. */
  readonly withinLimit: WithinLimit;
  /** What resolvers are given beside the principal. */
  readonly context: Omit<GraphqlContext, 'principal'>;
}

export interface Subscriptions {
  readonly plugin: Plugin<GraphqlContext>;
  /** What is to be sent as this answer's body; null for answers that are no streams. */
  resultsOf(answer: Response): ResultStream | null;
  /** Ends every subscription, now and from now on, as if its last event had come. */
  complete(): void;
}

type ResultStream = EndableStream<ExecutionResult>;

/**
 * Knows the subscriptions that stream: counts them, refuses those that are too many for one principal, and ends each when
 * its client goes away, its token expires or the server drains. What Yoga would make of a stream holds the whole request
 * as long as it streams; the streams are therefore kept beside it, and are sent without it.
 */
export function createSubscriptions(options: SubscriptionsOptions): Subscriptions {
  const { active, allowance, mask, withinLimit } = options;
  const open = new Set<ResultStream>();
  const ofRequests = new WeakMap<Request, ResultStream>();
  const ofAnswers = new WeakMap<Response, ResultStream>();
  const shareExecution = createSharedExecution(options.context);
  let completed = false;

  async function subscribe(
    args: SubscriptionArgs,
    signal: AbortSignal,
  ): Promise<ResultStream | ExecutionResult> {
    let close: () => void;
    try {
      // Before the database is asked: what waits there to begin is one of them as well.
      close = allowance.openStream(args.contextValue.principal);
    } catch (error) {
      const refusal = publicError(error);
      if (refusal === null) throw error;
      return { errors: [refusal] };
    }
    try {
      const source = await begin(args, signal);
      if (isAsyncIterable(source)) return follow(source[Symbol.asyncIterator](), args, signal, close);
      close();
      return source;
    } catch (error) {
      close();
      throw error;
    }
  }

  /** The events, or why there are none. */
  async function begin(
    args: SubscriptionArgs,
    signal: AbortSignal,
  ): Promise<AsyncIterable<unknown> | ExecutionResult> {
    let isOver = false;
    const work = async () => {
      const source = await createSourceEventStream(args);
      // Too late: nobody takes them any more.
      if (isOver && isAsyncIterable(source)) letGo(source[Symbol.asyncIterator]());
      return source;
    };
    try {
      return await withinLimit(() => signal, work);
    } finally {
      isOver = true;
    }
  }

  /** What `args` select of the events. Holds nothing of the request, for there may be many who wait for long. */
  function follow(
    events: AsyncIterator<unknown>,
    args: SubscriptionArgs,
    signal: AbortSignal,
    close: () => void,
  ): ResultStream {
    const execution = shareExecution(args);
    const nodes = getOperationAST(args.document, args.operationName);

    const stream = createEndableStream<ExecutionResult>(
      async () => {
        try {
          const { done, value } = await withCancellation(signal, () => events.next());
          return done ? { done, value } : { done: false, value: mask(await execution.run(value), signal) };
        } catch (error) {
          return { done: false, value: mask({ errors: [locatedError(error, nodes)] }, signal) };
        }
      },
      () => {
        open.delete(stream);
        active.dec();
        close();
        execution[Symbol.dispose]();
        expiry[Symbol.dispose]();
        signal.removeEventListener('abort', onAbort);
        letGo(events);
      },
    );
    const onAbort = () => stream.end();
    const expiry = whenItIs(args.contextValue.principal.expiresAt, () =>
      stream.end(mask({ errors: [expired()] }, signal)),
    );
    open.add(stream);
    active.inc();
    signal.addEventListener('abort', onAbort, { once: true });
    if (completed || signal.aborted) stream.end();
    return stream;
  }

  return {
    plugin: {
      onSubscribe({ context, setSubscribeFn }) {
        const { request } = context;
        setSubscribeFn(async (args) => {
          const result = await subscribe({ ...args, contextValue: context }, request.signal);
          if (isAsyncIterable(result)) ofRequests.set(request, result);
          return result;
        });
      },
      onResultProcess({ request, resultProcessor, setResultProcessor }) {
        const stream = ofRequests.get(request);
        if (stream === undefined) return;
        // The client accepts no stream and is told so (406); nobody will ever ask this one for a value.
        if (resultProcessor === undefined) return stream.end();
        setResultProcessor((_, { Response }) => {
          const answer = new Response(null, { headers: eventStreamHeaders });
          ofAnswers.set(answer, stream);
          return answer;
        }, eventStreamHeaders['content-type']);
      },
    },
    resultsOf: (answer) => ofAnswers.get(answer) ?? null,
    complete() {
      completed = true;
      for (const stream of open) stream.end();
    },
  };
}

/** Ends events that nobody asks for any more. */
function letGo(events: AsyncIterator<unknown>): void {
  events.return?.().catch(() => {});
}

function expired(): GraphQLError {
  const originalError = new UnauthenticatedError(
    'The token has expired; get a new one and subscribe again, with the last sequence as `after` where there is one.',
  );
  return new GraphQLError(originalError.message, { originalError });
}
