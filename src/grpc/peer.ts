import type { Origin } from '../core/model.ts';
import { originOf } from '../core/origin.ts';

/** Where a call comes from; `peer` is grpc-js's `address:port`. */
export function originOfPeer(peer: string): Origin {
  return originOf('GRPC', peer.replace(/:\d+$/, ''));
}
