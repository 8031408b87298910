import { Duplex } from 'node:stream';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';

/** The HTTP/2 stream of a call, which grpc-js keeps to itself in a field that its types hide; null when it is elsewhere. */
export function streamOf(call: ServerInterceptingCallInterface): Duplex | null {
  const stream: unknown = Reflect.get(call, 'stream');
  return stream instanceof Duplex ? stream : null;
}
