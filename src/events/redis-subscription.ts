import type { RedisPubSub } from 'graphql-redis-subscriptions';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';

/** A server that refuses the subscription is asked again after this long. */
const retryMs = 2_000;

export interface SubscriptionOptions {
  /** The connection that `pubsub` subscribes on; nothing else may. */
  readonly redis: Redis;
  readonly pubsub: RedisPubSub;
  readonly channel: string;
  readonly onMessage: (message: unknown) => void;
  /** Called whenever Redis has acknowledged the subscription: from then on nothing is lost, before it anything may be. */
  readonly onSubscribed: () => void;
  readonly log: Logger;
}

export interface Subscription extends Disposable {
  /** Whether messages reach this process. */
  isUp(): boolean;
}

/** Subscribes on each connection that `redis` makes. */
export function keepSubscribed(options: SubscriptionOptions): Subscription {
  const { redis, pubsub, channel, onMessage, onSubscribed, log } = options;
  let up = false;
  let registered = false;
  let retry: NodeJS.Timeout | undefined;

  async function subscribe(): Promise<void> {
    clearTimeout(retry);
    try {
      if (registered) await redis.subscribe(channel);
      else {
        // The second call is for its promise: the library hands a failure to the first caller and to an inner promise,
        // which nobody but a second caller handles; unhandled it would end the process.
        await Promise.all([pubsub.subscribe(channel, onMessage), pubsub.subscribe(channel, () => {})]);
        registered = true;
      }
      up = true;
      onSubscribed();
    } catch (error) {
      // Without a connection the next one subscribes.
      if (redis.status !== 'ready') return;
      log.error({ err: error }, 'Redis refuses the subscription to events; it is tried again');
      retry = setTimeout(subscribe, retryMs);
    }
  }

  redis.on('ready', subscribe);
  redis.on('close', () => {
    up = false;
    clearTimeout(retry);
  });
  return {
    isUp: () => up,
    [Symbol.dispose]() {
      clearTimeout(retry);
      redis.disconnect();
    },
  };
}
