import type { RedisPubSub } from 'graphql-redis-subscriptions';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { keepSubscribed, type Subscription } from '../redis/keep-subscribed.ts';

export interface EventSubscriptionOptions {
  /** The connection that `pubsub` subscribes on; nothing else may. */
  readonly redis: Redis;
  readonly pubsub: RedisPubSub;
  readonly channel: string;
  readonly onMessage: (message: unknown) => void;
  /** Called whenever Redis has acknowledged the subscription: from then on nothing is lost, before it anything may be. */
  readonly onSubscribed: () => void;
  readonly log: Logger;
}

/** Hears of the events of all processes. */
export function subscribeToEvents(options: EventSubscriptionOptions): Subscription {
  const { redis, pubsub, channel, onMessage, onSubscribed, log } = options;
  let registered = false;

  async function subscribe(): Promise<void> {
    if (registered) await redis.subscribe(channel);
    else {
      // The second call is for its promise: the library hands a failure to the first caller and to an inner promise,
      // which nobody but a second caller handles; unhandled it would end the process.
      await Promise.all([pubsub.subscribe(channel, onMessage), pubsub.subscribe(channel, () => {})]);
      registered = true;
    }
  }

  return keepSubscribed({
    redis,
    what: 'events',
    subscribe,
    onUp: onSubscribed,
    onDown: () => {},
    log,
  });
}
