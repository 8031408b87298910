import { Duplex } from 'node:stream';
import {
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  ServerListenerBuilder,
  status,
} from '@grpc/grpc-js';

/**
 * Ends calls whose request does not come, `limitMs` milliseconds after their metadata: nobody has been asked who they are
 * then, and no handler knows of them. Streams of requests may take their time. Whatever is answered before its request is
 * whole, for this reason or another, does not stay open for the rest of it.
 */
export function refuseSlowRequests(limitMs: number): ServerInterceptor {
  return (method, call) => {
    if (method.requestStream) return new ServerInterceptingCall(call);
    let timer: NodeJS.Timeout | undefined;
    let received = false;
    const intercepted = new ServerInterceptingCall(call, {
      start(next) {
        const listener = new ServerListenerBuilder()
          .withOnReceiveMetadata((metadata, pass) => {
            timer = setTimeout(() => {
              const details = `The request did not come within ${limitMs / 1_000} seconds.`;
              intercepted.sendStatus({ code: status.DEADLINE_EXCEEDED, details });
            }, limitMs);
            pass(metadata);
          })
          .withOnReceiveHalfClose((pass) => {
            received = true;
            clearTimeout(timer);
            pass();
          })
          // Also after a status, once it is on its way.
          .withOnCancel(() => {
            clearTimeout(timer);
            if (!received) resetStream(call);
          })
          .build();
        next(listener);
      },
    });
    return intercepted;
  };
}

/**
 * Ends the HTTP/2 stream behind what was written to it: RST_STREAM with NO_ERROR asks a client that was answered to stop
 * sending (RFC 9113, section 8.1). grpc-js does not, and keeps the stream to itself, in a field that its types hide.
 */
function resetStream(call: ServerInterceptingCallInterface): void {
  const stream: unknown = Reflect.get(call, 'stream');
  if (stream instanceof Duplex) setImmediate(() => stream.destroy());
}
