import { ServerInterceptingCall, type ServerInterceptor, ServerListenerBuilder, status } from '@grpc/grpc-js';

/**
 * Ends calls whose request does not come, `limitMs` milliseconds after their metadata: nobody has been asked who they are
 * then, and no handler knows of them. Streams of requests may take their time.
 */
export function refuseSlowRequests(limitMs: number): ServerInterceptor {
  return (method, call) => {
    if (method.requestStream) return new ServerInterceptingCall(call);
    let timer: NodeJS.Timeout | undefined;
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
            clearTimeout(timer);
            pass();
          })
          .withOnCancel(() => clearTimeout(timer))
          .build();
        next(listener);
      },
    });
    return intercepted;
  };
}
