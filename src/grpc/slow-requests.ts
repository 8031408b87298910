import {
  type ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import { Timeouts } from '../core/timeouts.ts';
import { streamOf } from './stream-of.ts';

/**
 * Ends calls whose request does not come, `limitMs` milliseconds after their metadata: nobody has been asked who they are
 * then, and no handler knows of them. Streams of requests may take their time. Whatever is answered before its request is
 * whole, for this reason or another, does not stay open for the rest of it.
 */
export function refuseSlowRequests(limitMs: number): ServerInterceptor {
  const arrivals = new Timeouts(limitMs);
  const details = `The request did not come within ${limitMs / 1_000} seconds.`;

  function watch(call: ServerInterceptingCallInterface): void {
    const start = call.start.bind(call);
    const late = () => call.sendStatus({ code: status.DEADLINE_EXCEEDED, details });
    let received = false;
    let arrival: Disposable | undefined;
    call.start = (listener) =>
      start({
        onReceiveMetadata(metadata) {
          arrival = arrivals.start(late);
          listener.onReceiveMetadata(metadata);
        },
        onReceiveMessage: (message) => listener.onReceiveMessage(message),
        onReceiveHalfClose() {
          received = true;
          arrival?.[Symbol.dispose]();
          listener.onReceiveHalfClose();
        },
        // Also after a status, once it is on its way.
        onCancel() {
          arrival?.[Symbol.dispose]();
          if (!received) resetStream(call);
          listener.onCancel();
        },
      });
  }

  return (method, call) => {
    if (!method.requestStream) watch(call);
    // grpc-js names its class here and uses the interface alone. The class around each call would cost a tenth of it.
    return call as ServerInterceptingCall;
  };
}

/**
 * Ends the HTTP/2 stream behind what was written to it: RST_STREAM with NO_ERROR asks a client that was answered to stop
 * sending (RFC 9113, section 8.1). grpc-js does not.
 */
function resetStream(call: ServerInterceptingCallInterface): void {
  const stream = streamOf(call);
  if (stream !== null) setImmediate(() => stream.destroy());
}
