import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import {
  RateLimiterCluster,
  RateLimiterMemory,
  RateLimiterRedis,
  RateLimiterRes,
} from 'rate-limiter-flexible';
import type { RateLimit } from '../core/ports.ts';

/** After what counts for all has failed this process counts alone for so long, milliseconds, and nobody waits for it meanwhile. */
const aloneMs = 5_000;

export interface RateLimitOptions {
  readonly objectsPerSecond: number;
  /** Where all processes count together; null: there is only this one. */
  readonly shared: SharedCount | null;
  readonly log: Pick<Logger, 'warn'>;
}

export type SharedCount =
  | {
      readonly kind: 'redis';
      readonly redis: Redis;
      readonly registryId: string;
      /** What stands for a subject there: it may be somebody's name, and Redis has no use for that, nor for how long it is. */
      readonly nameOf: (subject: string) => string;
    }
  /** The first of the processes that share a machine's ports counts for them. */
  | { readonly kind: 'first process'; readonly answerWithinMs: number };

/**
 * Counts in seconds that begin with a subject's first request. When nobody answers who counts for all, the processes count each for
 * itself, and so let more through: a limit must not be what fails a request.
 */
export function createRateLimit({ objectsPerSecond: points, shared, log }: RateLimitOptions): RateLimit {
  const alone = new RateLimiterMemory({ points, duration: 1 });
  const together = shared && countTogether(shared, points);
  let aloneUntil = 0;

  return {
    async take(subject, objects) {
      // What is more than a second's worth may be had too, by who asks for nothing else in that second.
      const share = Math.min(objects, points);
      if (together !== null && performance.now() >= aloneUntil) {
        try {
          return await waitFor(together(subject, share));
        } catch (error) {
          // Told once, though many may have waited for the same answer.
          if (performance.now() >= aloneUntil) {
            log.warn({ err: error }, 'the rate limit is not shared now: nobody answers who counts for all');
          }
          aloneUntil = performance.now() + aloneMs;
        }
      }
      return waitFor(alone.consume(subject, share));
    },
  };
}

function countTogether(
  shared: SharedCount,
  points: number,
): (subject: string, share: number) => Promise<RateLimiterRes> {
  switch (shared.kind) {
    case 'redis': {
      const limiter = new RateLimiterRedis({
        storeClient: shared.redis,
        keyPrefix: `tms:${shared.registryId}:objects`,
        points,
        duration: 1,
        rejectIfRedisNotReady: true,
        // Who has had enough is told so without asking Redis.
        inMemoryBlockOnConsumed: points + 1,
      });
      return (subject, share) => limiter.consume(shared.nameOf(subject), share);
    }
    case 'first process': {
      const { answerWithinMs: timeoutMs } = shared;
      const limiter = new RateLimiterCluster({ keyPrefix: 'objects', points, duration: 1, timeoutMs });
      return (subject, share) => limiter.consume(subject, share);
    }
  }
}

/** The limiter answers "too many" by a rejection that is no error. */
async function waitFor(consumed: Promise<RateLimiterRes>): Promise<number> {
  try {
    await consumed;
    return 0;
  } catch (refusal) {
    if (!(refusal instanceof RateLimiterRes)) throw refusal;
    return Math.max(1, refusal.msBeforeNext);
  }
}
