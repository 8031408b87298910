import { type ServerUnaryCall, status } from '@grpc/grpc-js';
import { UnauthenticatedError } from '../core/errors.ts';
import type { Timeouts } from '../core/timeouts.ts';
import { whenItIs } from '../core/timer.ts';
import { CallError } from './call-error.ts';

/**
 * The client's clock for its deadline starts before ours. When it gives up this little before our deadline,
 * milliseconds, then that was the reason.
 */
const clockDifferenceMs = 25;

/** What unary calls and streams have in common here. */
export type EndingCall = Pick<ServerUnaryCall<unknown, unknown>, 'cancelled' | 'getDeadline' | 'on'>;

/**
 * When nobody waits for the answer of a call any more, and why: its deadline has passed, its client has gone away.
 * Disposed of, it never comes. A class, since every call has one.
 */
export class CallEnd implements Disposable {
  #reason: Error | null = null;
  #controller: AbortController | undefined;
  #isOver = false;
  #deadline = Infinity;
  readonly #onEnd: (reason: Error) => void;
  readonly #timers: Disposable[] = [];

  /** @param onEnd is told the reason, once */
  constructor(onEnd: (reason: Error) => void) {
    this.#onEnd = onEnd;
  }

  /** What the caller is told; null as long as somebody waits. */
  get reason(): Error | null {
    return this.#reason;
  }

  /** Aborted with the reason. Made when it is asked for: most calls are over before anything could be called off. */
  get signal(): AbortSignal {
    this.#controller ??= new AbortController();
    if (this.#reason !== null) this.#controller.abort(this.#reason);
    return this.#controller.signal;
  }

  /** Ends with the call's deadline, and when its client goes away. */
  follow(call: EndingCall): void {
    this.#deadline = Number(call.getDeadline());
    call.on('cancelled', this.#cancelled);
    // The transport has a timer of its own, but it is not heard of while a client does not read.
    if (this.#deadline !== Infinity) this.#timers.push(whenItIs(this.#deadline, this.#expired));
    if (call.cancelled) this.#cancelled();
  }

  /** Ends when the call lasts for as long as the limits do. */
  within(limits: Timeouts): void {
    this.#timers.push(limits.start(this.#expired));
  }

  /** Ends when the caller's token or certificate expires, at `time` in milliseconds since 1970. */
  expireAt(time: number): void {
    const message =
      'Your token or certificate has expired; get a new one and watch again behind the last sequence.';
    this.#timers.push(whenItIs(time, () => this.#end(new UnauthenticatedError(message))));
  }

  /** Ends when the server shuts down. */
  drainWith(draining: AbortSignal): void {
    const message = 'The server is shutting down; call again to go on elsewhere.';
    const drained = () => this.#end(new CallError(status.UNAVAILABLE, message));
    draining.addEventListener('abort', drained);
    this.#timers.push({ [Symbol.dispose]: () => draining.removeEventListener('abort', drained) });
    if (draining.aborted) drained();
  }

  [Symbol.dispose](): void {
    this.#isOver = true;
    for (const timer of this.#timers) timer[Symbol.dispose]();
  }

  #end(reason: Error): void {
    if (this.#isOver || this.#reason !== null) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
    this.#onEnd(reason);
  }

  readonly #cancelled = () => {
    // grpc-js says this of every call in the end.
    if (this.#isOver) return;
    if (Date.now() >= this.#deadline - clockDifferenceMs) this.#expired();
    else this.#end(new CallError(status.CANCELLED, 'The client cancelled the call.'));
  };

  readonly #expired = () => {
    this.#end(new CallError(status.DEADLINE_EXCEEDED, 'The deadline passed before the call was done.'));
  };
}
