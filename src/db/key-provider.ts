import type { EncryptionKey } from './key-ring.ts';

/**
 * Where the keys of the ring come from. It is asked once, when a process starts: sealing and opening must not wait for
 * anybody, so the keys are in memory from then on. A key management service fits behind it: what is configured are data
 * keys that it has wrapped, and `keys` has it unwrap them.
 */
export interface KeyProvider {
  /** The first writes, all read. @throws Error in one line when they cannot be had */
  keys(): Promise<readonly EncryptionKey[]>;
}
