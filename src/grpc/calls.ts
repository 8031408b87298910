import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import {
  type handleServerStreamingCall,
  type handleUnaryCall,
  type Metadata,
  type ServerUnaryCall,
  type StatusObject,
  status,
} from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { Allowance } from '../core/allowance.ts';
import { withCancellation } from '../core/cancellation.ts';
import type { Authenticate, Core } from '../core/core.ts';
import { codeOf } from '../core/errors.ts';
import type { Actor, Caller } from '../core/model.ts';
import { Timeouts } from '../core/timeouts.ts';
import { whenDone } from '../core/when-done.ts';
import { admit, attemptOf, identify, isOpen, nobody } from './access.ts';
import { CallEnd, type EndingCall } from './call-end.ts';
import { isExpected, statusOf } from './errors.ts';
import type { CallMetrics } from './metrics.ts';
import { originOfPeer } from './peer.ts';
import { readable, UnreadableRequest } from './requests.ts';

/** What a handler knows of a call besides its request. */
export interface CallContext {
  /** Who calls, and from where. */
  readonly actor: Actor;
  readonly metadata: Metadata;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/** The context of one call. Most do not need all of it, so it is found out when it is asked for. */
class LazyContext implements CallContext {
  #actor: Actor | undefined;
  readonly #call: IncomingCall<unknown>;
  readonly #caller: Caller;
  readonly #ended: CallEnd;

  constructor(call: IncomingCall<unknown>, caller: Caller, ended: CallEnd) {
    this.#call = call;
    this.#caller = caller;
    this.#ended = ended;
  }

  get actor(): Actor {
    this.#actor ??= { ...this.#caller, ...originOfPeer(this.#call.getPeer()) };
    return this.#actor;
  }

  get metadata(): Metadata {
    return this.#call.metadata;
  }

  get signal(): AbortSignal {
    return this.#ended.signal;
  }
}

/** A unary call or a server stream, its request received. */
type IncomingCall<Request> = EndingCall &
  Pick<
    ServerUnaryCall<Request | UnreadableRequest, unknown>,
    'request' | 'metadata' | 'getPath' | 'getPeer' | 'getAuthContext'
  >;

export interface CallsOptions {
  readonly authenticate: Authenticate;
  readonly audit: Pick<Core['audit'], 'refused'>;
  readonly allowance: Allowance;
  /** How long a unary call may take, milliseconds, also when its client would wait longer. */
  readonly requestLimitMs: number;
  readonly metrics: CallMetrics;
  readonly log: Pick<Logger, 'error'>;
  /** Ends the streams when it is aborted; unary calls may finish. */
  readonly draining: AbortSignal;
}

export type Calls = ReturnType<typeof createCalls>;

type Outcome<Result> = { readonly result: Result } | { readonly failure: StatusObject };

/** What every call goes through, whatever its service. */
export function createCalls({
  authenticate,
  audit,
  allowance,
  requestLimitMs,
  metrics,
  log,
  draining,
}: CallsOptions) {
  const limits = new Timeouts(requestLimitMs);

  /**
   * Does the work of one call, and answers by `done`: at once when everything is known that it takes. Never throws: an
   * error is a status.
   */
  function perform<Request, Result>(
    call: IncomingCall<Request>,
    isStream: boolean,
    objects: (request: Request) => number,
    work: (request: Request, context: CallContext) => Result | Promise<Result>,
    done: (outcome: Outcome<Result>) => void,
  ): void {
    const path = call.getPath();
    // 1. The clock starts.
    const handled = metrics.begin(path);
    // 7. What went wrong, in the caller's terms. What fails after the call ended failed because of that.
    const fail = (error: unknown) => {
      ended[Symbol.dispose]();
      const reason = ended.reason ?? error;
      const requestId = randomUUID();
      if (!isExpected(reason)) log.error({ err: reason, requestId, method: path }, 'a gRPC call failed');
      const failure = statusOf(reason, requestId);
      handled(failure.code);
      done({ failure });
    };
    const succeed = (result: Result) => {
      if (ended.reason !== null) return;
      ended[Symbol.dispose]();
      handled(status.OK);
      done({ result });
    };
    // 2. The caller's deadline and cancellation become an end, which the database adapter obeys. It is the answer also
    // where the work does not notice it.
    const ended = new CallEnd(fail);
    ended.follow(call);
    if (isStream) ended.drainWith(draining);
    let working: Result | Promise<Result>;
    try {
      working = withCancellation(
        () => ended.signal,
        () => workOf(call, path, ended, isStream, objects, work),
      );
    } catch (error) {
      if (ended.reason === null) fail(error);
      return;
    }
    if (!(working instanceof Promise)) {
      succeed(working);
      return;
    }
    if (!isStream) ended.within(limits);
    working.then(succeed, (error) => ended.reason === null && fail(error));
  }

  function workOf<Request, Result>(
    call: IncomingCall<Request>,
    path: string,
    ended: CallEnd,
    isStream: boolean,
    objects: (request: Request) => number,
    work: (request: Request, context: CallContext) => Result | Promise<Result>,
  ): Result | Promise<Result> {
    if (ended.reason !== null) throw ended.reason;
    // 3. Who calls?
    const identified = isOpen(path) ? nobody : identify(call, authenticate);
    return whenDone(identified, (caller) => {
      if (ended.reason !== null) throw ended.reason;
      // A stream lasts as long as its token; a unary call that was let in in time is answered.
      if (isStream) ended.expireAt(caller.expiresAt);
      // 4. Have they asked for too much of late, or have they too many streams?
      const counted = caller === nobody ? undefined : spend(caller, call.request, objects);
      return whenDone(counted, () => {
        const close = isStream && caller !== nobody ? allowance.openStream(caller) : null;
        return attempt(call, path, new LazyContext(call, caller, ended), caller, work, close);
      });
    });
  }

  /** Counts the call. What cannot be read counts, too. @throws {LimitExceededError} */
  function spend<Request>(
    caller: Caller,
    request: Request | UnreadableRequest,
    objects: (request: Request) => number,
  ): void | Promise<void> {
    return allowance.spend(caller, request instanceof UnreadableRequest ? 1 : objects(request));
  }

  /** @param close gives back the place of a stream */
  function attempt<Request, Result>(
    call: IncomingCall<Request>,
    path: string,
    context: CallContext,
    caller: Caller,
    work: (request: Request, context: CallContext) => Result | Promise<Result>,
    close: (() => void) | null,
  ): Result | Promise<Result> {
    // A refused change stands in the audit log, too.
    const refused = async (error: unknown): Promise<never> => {
      const tried = attemptOf(path, call.request);
      if (tried !== null) await audit.refused(context.actor, tried, codeOf(error));
      throw error;
    };
    try {
      // 5. May they?
      admit(path, caller);
      // 6. The work.
      const working = work(readable(call.request), context);
      if (working instanceof Promise) return working.catch(refused).finally(() => close?.());
      close?.();
      return working;
    } catch (error) {
      close?.();
      return refused(error);
    }
  }

  /** A handler of unary calls; `objects` is how many a request asks for, at most. */
  function unary<Request, Response>(
    work: (request: Request, context: CallContext) => Response | Promise<Response>,
    objects: (request: Request) => number = one,
  ): handleUnaryCall<Request | UnreadableRequest, Response> {
    return (call, respond) => {
      perform(call, false, objects, work, (outcome) => {
        if ('failure' in outcome) respond(outcome.failure);
        else respond(null, outcome.result);
      });
    };
  }

  /** A handler of server streams; `send` waits while the client does not read, and throws when the call has ended. */
  function serverStream<Request, Response>(
    work: (
      request: Request,
      context: CallContext,
      send: (message: Response) => Promise<void>,
    ) => Promise<void>,
  ): handleServerStreamingCall<Request | UnreadableRequest, Response> {
    return (call) => {
      const stream = async (request: Request, context: CallContext): Promise<void> => {
        const { signal } = context;
        await work(request, context, async (message) => {
          signal.throwIfAborted();
          if (!call.write(message)) await once(call, 'drain', { signal });
        });
      };
      perform(call, true, one, stream, (outcome) => {
        // How grpc-js is told the status of a stream; what was written before goes out first.
        if ('failure' in outcome) call.emit('error', outcome.failure);
        else call.end();
      });
    };
  }

  return { unary, serverStream };
}

const one = () => 1;
