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
import { admit, attemptOf, identify, isOpen, nobody } from './access.ts';
import { createCallSignal, type EndingCall } from './call-signal.ts';
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
  /** Does the work of one call. Never rejects: an error is a status. */
  async function perform<Request, Result>(
    call: IncomingCall<Request>,
    ending: AbortSignal | null,
    objects: (request: Request) => number,
    work: (request: Request, context: CallContext) => Promise<Result>,
  ): Promise<{ readonly result: Result } | { readonly failure: StatusObject }> {
    const path = call.getPath();
    // 1. The clock starts.
    const end = metrics.begin(path);
    // 2. The caller's deadline and cancellation become a signal, which the database adapter obeys.
    using ended = createCallSignal(call, ending, ending === null ? requestLimitMs : undefined);
    const { signal } = ended;
    try {
      const result = await withCancellation(signal, () =>
        unlessAborted(signal, async () => {
          // 3. Who calls?
          const caller = isOpen(path) ? nobody : await identify(call, authenticate);
          signal.throwIfAborted();
          // A stream lasts as long as its caller's token or certificate; a unary call that was let in in time is answered.
          if (ending !== null) ended.expireAt(caller.expiresAt);
          // 4. Have they asked for too much of late, or have they too many streams?
          using _ = caller === nobody ? null : await allowed(caller, call.request, objects, ending !== null);
          const actor = { ...caller, ...originOfPeer(call.getPeer()) };
          return await audited(call, actor, async () => {
            // 5. May they?
            admit(path, caller);
            // 6. The work.
            return work(readable(call.request), { actor, metadata: call.metadata, signal });
          });
        }),
      );
      end(status.OK);
      return { result };
    } catch (error) {
      // 7. What went wrong, in the caller's terms. What fails after the call ended failed because of that.
      const reason: unknown = signal.aborted ? signal.reason : error;
      const requestId = randomUUID();
      if (!isExpected(reason)) log.error({ err: reason, requestId, method: path }, 'a gRPC call failed');
      const failure = statusOf(reason, requestId);
      end(failure.code);
      return { failure };
    }
  }

  /** Counts the call, and holds the place of a stream. What cannot be read counts, too. @throws {LimitExceededError} */
  async function allowed<Request>(
    caller: Caller,
    request: Request | UnreadableRequest,
    objects: (request: Request) => number,
    isStream: boolean,
  ): Promise<Disposable> {
    await allowance.spend(caller, request instanceof UnreadableRequest ? 1 : objects(request));
    const close = isStream ? allowance.openStream(caller) : () => {};
    return { [Symbol.dispose]: close };
  }

  /** Does the work of a call that may be a change: when it is refused, the audit log keeps that. */
  async function audited<T>(
    call: Pick<IncomingCall<unknown>, 'request' | 'getPath'>,
    actor: Actor,
    work: () => Promise<T>,
  ): Promise<T> {
    try {
      return await work();
    } catch (error) {
      const attempt = attemptOf(call.getPath(), call.request);
      if (attempt !== null) await audit.refused(actor, attempt, codeOf(error));
      throw error;
    }
  }

  /** A handler of unary calls; `objects` is how many a request asks for, at most. */
  function unary<Request, Response>(
    work: (request: Request, context: CallContext) => Promise<Response>,
    objects: (request: Request) => number = one,
  ): handleUnaryCall<Request | UnreadableRequest, Response> {
    return async (call, respond) => {
      const outcome = await perform(call, null, objects, work);
      if ('failure' in outcome) respond(outcome.failure);
      else respond(null, outcome.result);
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
    return async (call) => {
      const outcome = await perform<Request, void>(call, draining, one, async (request, context) => {
        const { signal } = context;
        await work(request, context, async (message) => {
          signal.throwIfAborted();
          if (!call.write(message)) await once(call, 'drain', { signal });
        });
      });
      // How grpc-js is told the status of a stream; what was written before goes out first.
      if ('failure' in outcome) call.emit('error', outcome.failure);
      else call.end();
    };
  }

  return { unary, serverStream };
}

const one = () => 1;

/** The work's result. Rejects as soon as the signal is aborted, even where the work does not notice. */
async function unlessAborted<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const abort = () => aborted.reject(signal.reason);
  signal.addEventListener('abort', abort);
  try {
    return await Promise.race([work(), aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}
