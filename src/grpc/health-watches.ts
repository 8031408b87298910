import { LimitExceededError } from '../core/errors.ts';
import { createPlaces } from '../core/places.ts';

/** Watches of the health of this server that one address may have open: a client has one per connection. */
const maxPerAddress = 20;

/** Those of all addresses together. Checks are not counted, so who watches in vain can still ask. */
const maxInAll = 1_000;

export interface HealthWatches {
  /**
   * Counts a watch from this address until it is disposed of; null is an address that is not known.
   * @throws {LimitExceededError} when there are as many as may be
   */
  open(address: string | null): Disposable;
}

/** Bounds the streams that nobody needs a token for. */
export function createHealthWatches(): HealthWatches {
  const perAddress = createPlaces(maxPerAddress);
  const inAll = createPlaces(maxInAll);

  return {
    open(address) {
      const close = perAddress.take(address ?? '');
      if (close === null) {
        throw new LimitExceededError(
          `Your address has ${maxPerAddress} health watches open, as many as are allowed; close one, or call Check.`,
        );
      }
      const closeInAll = inAll.take('');
      if (closeInAll === null) {
        close();
        throw new LimitExceededError(
          `There are ${maxInAll} health watches open, as many as are allowed; call Check, or watch again later.`,
        );
      }
      return {
        [Symbol.dispose]() {
          closeInAll();
          close();
        },
      };
    },
  };
}
