import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { closeRedis } from './redis-connection.ts';

/** A server that refuses the subscription is asked again after this long, milliseconds. */
const retryMs = 2_000;

export interface SubscriptionOptions {
  /** A connection for nothing else. */
  readonly redis: Redis;
  /** What is subscribed to, for the log. */
  readonly what: string;
  /** Subscribes on the present connection; fulfilled when Redis has acknowledged it. */
  readonly subscribe: () => Promise<unknown>;
  /** Called whenever messages begin to come: from then on nothing is lost, before it anything may be. */
  readonly onUp: () => void;
  /** Called when they do not come any more. */
  readonly onDown: () => void;
  readonly log: Logger;
}

export interface Subscription extends Disposable {
  /** Whether messages reach this process. */
  isUp(): boolean;
}

/** Subscribes on each connection that `redis` makes. */
export function keepSubscribed(options: SubscriptionOptions): Subscription {
  const { redis, what, onUp, onDown, log } = options;
  let up = false;
  let retry: NodeJS.Timeout | undefined;

  async function subscribe(): Promise<void> {
    clearTimeout(retry);
    try {
      await options.subscribe();
      up = true;
      onUp();
    } catch (error) {
      // Without a connection the next one subscribes.
      if (redis.status !== 'ready') return;
      log.error({ err: error }, `Redis refuses the subscription to ${what}; it is tried again`);
      retry = setTimeout(subscribe, retryMs);
    }
  }

  redis.on('ready', subscribe);
  redis.on('close', () => {
    clearTimeout(retry);
    if (!up) return;
    up = false;
    onDown();
  });
  return {
    isUp: () => up,
    [Symbol.dispose]() {
      clearTimeout(retry);
      closeRedis(redis);
    },
  };
}
