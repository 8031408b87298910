import { LimitExceededError } from './errors.ts';
import type { Principal } from './model.ts';
import { createPlaces } from './places.ts';
import type { RateLimit } from './ports.ts';

/** Streams of events that one subject may have open, over both faces of this process together. */
const maxStreams = 100;

/** What each principal may use up. */
export interface Allowance {
  /**
   * Counts objects that are asked for; at once where there is no limit.
   * @throws {LimitExceededError} when there were too many of late
   */
  spend(principal: Principal, objects: number): void | Promise<void>;
  /**
   * Counts a stream until the answered function is called, which may be called twice.
   * @throws {LimitExceededError} when the principal has as many as it may
   */
  openStream(principal: Principal): () => void;
}

export interface AllowanceOptions {
  /** Null: nobody may ask for too much. */
  readonly rateLimit: RateLimit | null;
  /** Objects a second, for the message. */
  readonly objectsPerSecond: number;
}

/** Keeps account of all principals. */
export function createAllowance({ rateLimit, objectsPerSecond }: AllowanceOptions): Allowance {
  const streams = createPlaces(maxStreams);

  function refuse(waitMs: number): void {
    if (waitMs === 0) return;
    throw new LimitExceededError(
      `You may ask for ${objectsPerSecond} objects a second; try again in ${Math.ceil(waitMs)} ms.`,
      waitMs,
    );
  }

  return {
    spend({ subject }, objects) {
      // What asks for nothing but scalars is work too.
      return rateLimit?.take(subject, Math.max(1, objects)).then(refuse);
    },
    openStream({ subject }) {
      const close = streams.take(subject);
      if (close !== null) return close;
      throw new LimitExceededError(
        `You have ${maxStreams} streams open, as many as are allowed; close one, or watch many tenants on one stream.`,
      );
    },
  };
}
