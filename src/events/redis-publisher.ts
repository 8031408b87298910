import type { RedisPubSub } from 'graphql-redis-subscriptions';
import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { ProvisioningEvent } from '../core/model.ts';
import { closeRedis } from '../redis/redis-connection.ts';

/** Of the events that could not be sent the newest are kept: a later one of a tenant shows that earlier ones are missing. */
const unsentLimit = 1_000;

export interface PublisherOptions {
  /** The connection that `pubsub` publishes on. */
  readonly redis: Redis;
  readonly pubsub: RedisPubSub;
  readonly channel: string;
  /** Called with an event that does not go out now. */
  readonly onUnsent: (event: ProvisioningEvent) => void;
  readonly log: Logger;
}

export interface Publisher extends AsyncDisposable {
  publish(event: ProvisioningEvent): void;
}

/**
 * Sends events as they come. What cannot be sent follows when the connection is back: the other processes kept theirs
 * and do not know that they miss something. It may then come twice or late, which watchers do not mind.
 */
export function createPublisher({ redis, pubsub, channel, onUnsent, log }: PublisherOptions): Publisher {
  const sending = new Set<Promise<void>>();
  let unsent: ProvisioningEvent[] = [];

  function publish(event: ProvisioningEvent): void {
    const sent = pubsub
      .publish(channel, event)
      .catch((error: unknown) => {
        if (unsent.length === 0) log.warn({ err: error }, 'events are not published now; they are kept');
        unsent.push(event);
        if (unsent.length > unsentLimit) unsent.shift();
        onUnsent(event);
      })
      .finally(() => sending.delete(sent));
    sending.add(sent);
  }

  redis.on('ready', () => {
    const kept = unsent;
    unsent = [];
    kept.forEach(publish);
  });
  return {
    publish,
    async [Symbol.asyncDispose]() {
      // Each ends by itself, with an answer or without one in time.
      await Promise.all(sending);
      closeRedis(redis);
    },
  };
}
