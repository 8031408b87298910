import type { Logger } from 'pino';
import { closeRedis, connectRedis, type RedisServer } from '../redis/redis-connection.ts';
import type { SharedCount } from './rate-limit.ts';

/** How long a request waits for the count that processes share, milliseconds; it then goes on without. */
const answerWithinMs = 200;

export interface SharedCountOptions {
  /** Null: there is no Redis. */
  readonly server: RedisServer | null;
  readonly registryId: string;
  /** What stands for a subject in Redis. */
  readonly nameOf: (subject: string) => string;
  readonly hasSiblings: boolean;
  readonly log: Logger;
}

/**
 * Who counts what principals ask for: Redis for all replicas, else the first process for its machine, else nobody but this
 * one. Disposing it ends the connection.
 */
export function connectSharedCount(options: SharedCountOptions): (SharedCount & Disposable) | null {
  const { server, registryId, nameOf, hasSiblings, log } = options;
  if (server !== null) {
    // A connection of its own: what waits for an answer here must not wait behind events.
    const redis = connectRedis(server, 'limiter', log, answerWithinMs);
    return { kind: 'redis', redis, registryId, nameOf, [Symbol.dispose]: () => closeRedis(redis) };
  }
  return hasSiblings ? { kind: 'first process', answerWithinMs, [Symbol.dispose]() {} } : null;
}
