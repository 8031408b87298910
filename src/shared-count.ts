import type { Logger } from 'pino';
import type { SharedCount } from './limits/rate-limit.ts';
import { connectRedis, type RedisServer } from './redis/redis-connection.ts';

/** How long a request waits for the count that processes share, milliseconds; it then goes on without. */
const answerWithinMs = 200;

export interface SharedCountOptions {
  /** Null: there is none. */
  readonly redis: RedisServer | null;
  readonly registryId: string;
  /** What stands for a subject in Redis. */
  readonly nameOf: (subject: string) => string;
  readonly hasSiblings: boolean;
  /** The process's, which take down the connection. */
  readonly parts: AsyncDisposableStack;
  readonly log: Logger;
}

/** Who counts what principals ask for: Redis for all replicas, else the first process for its machine, else nobody but this one. */
export function sharedCount(options: SharedCountOptions): SharedCount | null {
  const { redis: server, registryId, nameOf, hasSiblings, parts, log } = options;
  if (server === null) return hasSiblings ? { kind: 'first process', answerWithinMs } : null;
  // A connection of its own: what waits for an answer here must not wait behind events.
  const redis = connectRedis(server, 'limiter', log, answerWithinMs);
  parts.defer(() => redis.disconnect());
  return { kind: 'redis', redis, registryId, nameOf };
}
