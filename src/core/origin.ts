import { isIP } from 'node:net';
import type { Origin, Transport } from './model.ts';

/**
 * Where a call comes from. `remoteAddress` is the socket's; what a header says of it is never asked, since whoever calls
 * writes those. An IPv4 address of a socket that speaks both is written as such, and an IPv6 zone, which means something
 * to this machine alone, is left out.
 */
export function originOf(transport: Transport, remoteAddress: string | undefined): Origin {
  const address = (remoteAddress ?? '').replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '');
  return { transport, address: isIP(address) === 0 ? null : address };
}
