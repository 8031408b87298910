import { type ServerUnaryCall, status } from '@grpc/grpc-js';
import { UnauthenticatedError } from '../core/errors.ts';
import { whenItIs } from '../core/timer.ts';
import { CallError } from './call-error.ts';

/**
 * The client's clock for its deadline starts before ours. When it gives up this little before our deadline,
 * milliseconds, then that was the reason.
 */
const clockDifferenceMs = 25;

/** What unary calls and streams have in common here. */
export type EndingCall = Pick<ServerUnaryCall<unknown, unknown>, 'cancelled' | 'getDeadline' | 'on' | 'off'>;

export interface CallSignal extends Disposable {
  readonly signal: AbortSignal;
  /** Aborts it also when the caller's token or certificate expires, at `time` in milliseconds since 1970. */
  expireAt(time: number): void;
}

/**
 * A signal that is aborted with what the caller is told when the call's deadline passes, at the latest after `limitMs`
 * milliseconds, its client goes away, or `draining` is aborted. Disposed of, it is never aborted any more.
 */
export function createCallSignal(
  call: EndingCall,
  draining: AbortSignal | null,
  limitMs = Number.POSITIVE_INFINITY,
): CallSignal {
  const controller = new AbortController();
  const deadline = Math.min(Number(call.getDeadline()), Date.now() + limitMs);

  const cancelled = () => {
    if (Date.now() >= deadline - clockDifferenceMs) expired();
    else controller.abort(new CallError(status.CANCELLED, 'The client cancelled the call.'));
  };
  const expired = () => {
    controller.abort(
      new CallError(status.DEADLINE_EXCEEDED, 'The deadline passed before the call was done.'),
    );
  };
  const unauthenticated = () => {
    controller.abort(
      new UnauthenticatedError(
        'Your token or certificate has expired; get a new one and watch again behind the last sequence.',
      ),
    );
  };
  const drained = () => {
    controller.abort(
      new CallError(status.UNAVAILABLE, 'The server is shutting down; call again to go on elsewhere.'),
    );
  };

  call.on('cancelled', cancelled);
  draining?.addEventListener('abort', drained);
  // The transport has a timer of its own, but it is not heard of while a client does not read.
  const timers = new DisposableStack();
  timers.use(whenItIs(deadline, expired));
  if (call.cancelled) cancelled();
  if (draining?.aborted) drained();

  return {
    signal: controller.signal,
    expireAt: (time) => void timers.use(whenItIs(time, unauthenticated)),
    [Symbol.dispose]() {
      timers.dispose();
      call.off('cancelled', cancelled);
      draining?.removeEventListener('abort', drained);
    },
  };
}
