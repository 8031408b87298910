import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { certificateRefusal } from '../tls/certificate-refusal.ts';

/** After this long an answer is not waited for any more, unless told: the server hangs, or is out of reach. */
const usualTimeoutMs = 2_000;
const longestRetryMs = 2_000;

/** Where Redis is. */
export interface RedisServer {
  /** `redis://` or `rediss://` */
  readonly url: string;
  /** Null: in plain text, whatever the address says. */
  readonly tls: ConnectionOptions | null;
}

/**
 * A connection that comes back by itself, for ever. A command that cannot be sent now, or is not answered before the
 * connection breaks, fails at once: nothing is queued, nothing is sent twice, no promise is left over for nobody.
 *
 * @param name what the server and the log call it
 */
export function connectRedis(
  { url, tls }: RedisServer,
  name: 'publisher' | 'subscriber' | 'limiter' | 'cache' | 'cache-subscriber',
  log: Logger,
  commandTimeoutMs = usualTimeoutMs,
): Redis {
  const redis = new Redis(url, {
    ...(tls === null ? {} : { tls: withServerName(tls, new URL(url).hostname) }),
    // A blank would be refused, silently.
    connectionName: `tenant-management-service:${name}`,
    connectTimeout: 5_000,
    commandTimeout: commandTimeoutMs,
    keepAlive: 10_000,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0,
    // The client would ignore the acknowledgement, and its failure would end the process.
    autoResubscribe: false,
    retryStrategy: (times) => Math.min(50 * 2 ** Math.min(times, 6), longestRetryMs),
  });
  let reason: unknown;
  let away = false;
  redis.on('error', (error) => {
    reason = error;
  });
  redis.on('reconnecting', () => {
    const why =
      certificateRefusal(reason) !== null
        ? ', its certificate is refused (--redis-ca, the host of --redis-url)'
        : '';
    if (!away)
      log.warn({ err: reason }, `the Redis ${name} has no connection${why}; it tries again until it has`);
    away = true;
  });
  redis.on('ready', () => {
    if (away) log.info(`the Redis ${name} is connected again`);
    away = false;
    reason = undefined;
  });
  return redis;
}

/**
 * Ends a connection for good. In the middle of a TLS handshake the client would only half close it; the server complains of
 * that, and where its certificate was refused as well, nobody listens any more and the complaint ends the process.
 */
export function closeRedis(redis: Redis): void {
  redis.disconnect();
  // There is none before the first attempt.
  redis.stream?.destroy();
}

/** Node tells a server the name that it was called by only where that is asked for; an address is no name. */
function withServerName(tls: ConnectionOptions, host: string): ConnectionOptions {
  return isIP(host.replace(/^\[|\]$/g, '')) === 0 ? { ...tls, servername: host } : tls;
}
