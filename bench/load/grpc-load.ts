import { loadByH2load } from './h2load.ts';
import type { Measured } from './measured.ts';

/** The same unary call again and again, by h2load: a client of grpc-js would be slower than a server of grpc-js. */
export interface GrpcLoad {
  readonly port: number;
  readonly token: string;
  /** `/package.Service/Method`. */
  readonly path: string;
  /** The encoded message. */
  readonly request: Uint8Array;
  /** How long the right answer is, bytes, without its frame. */
  readonly answerLength: number;
  /** Calls, over `connections` with `streams` at once each. */
  readonly calls: number;
  readonly connections: number;
  readonly streams: number;
}

/** The frame before a message: a byte for compression, four for the length. */
const frameLength = 5;

/** Makes so many calls. h2load knows nothing of gRPC's statuses, but a call that fails has no message to add up. */
export function loadGrpc(load: GrpcLoad): Promise<Measured> {
  const { token, request, answerLength, calls, ...where } = load;
  const frame = Buffer.alloc(frameLength);
  frame.writeUInt32BE(request.length, 1);
  return loadByH2load({
    ...where,
    version: 'HTTP/2',
    headers: ['content-type: application/grpc', 'te: trailers', `authorization: Bearer ${token}`],
    body: Buffer.concat([frame, request]),
    answerLength: frameLength + answerLength,
    requests: calls,
  });
}
