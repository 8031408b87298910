import { setTimeout as pause } from 'node:timers/promises';
import { RedisPubSub } from 'graphql-redis-subscriptions';
import type { Logger } from 'pino';
import { connectRedis, type RedisServer } from '../redis/redis-connection.ts';
import { parseEvent } from './event-message.ts';
import { createHub, type Feed } from './feed.ts';
import { createPublisher } from './redis-publisher.ts';
import { subscribeToEvents } from './redis-subscription.ts';

export interface RedisFeedOptions {
  readonly server: RedisServer;
  /** One channel per registry: several may share a Redis. */
  readonly registryId: string;
  readonly log: Logger;
}

/** How long a start waits for Redis before it goes on without; the connections keep trying. */
const startTimeoutMs = 2_000;

/**
 * Events between processes. This process subscribes once, at its start; a message is a whole event. Whatever Redis
 * loses (while it is away, above all) the listeners find in the history: they are told to read it again.
 */
export async function createRedisFeed({ server, registryId, log }: RedisFeedOptions): Promise<Feed> {
  const channel = `tms:${registryId}:events`;
  const hub = createHub(log);
  const publishing = connectRedis(server, 'publisher', log);
  const subscribing = connectRedis(server, 'subscriber', log);
  const pubsub = new RedisPubSub({ publisher: publishing, subscriber: subscribing });

  const subscribed = Promise.withResolvers<void>();
  const subscription = subscribeToEvents({
    redis: subscribing,
    pubsub,
    channel,
    onMessage(message) {
      const event = parseEvent(message);
      if (event === null) log.warn('a message on the events channel is no event; is the channel shared?');
      else hub.dispatch(event);
    },
    onSubscribed() {
      subscribed.resolve();
      hub.resync();
    },
    log,
  });
  const publisher = createPublisher({
    redis: publishing,
    pubsub,
    channel,
    // The watchers of this process need not wait for Redis.
    onUnsent: hub.dispatch,
    log,
  });
  const canPublish = new Promise((resolve) => publishing.once('ready', resolve));
  const connected = Promise.all([canPublish, subscribed.promise]);
  await Promise.race([connected, pause(startTimeoutMs, undefined, { ref: false })]);

  return {
    publish: (events) => events.forEach(publisher.publish),
    subscribe: hub.subscribe,
    async status() {
      if (!subscription.isUp()) return 'down';
      // A server that hangs keeps its connections open: only an answer shows that it is there.
      return publishing.ping().then(
        () => 'up',
        () => 'down',
      );
    },
    async [Symbol.asyncDispose]() {
      subscription[Symbol.dispose]();
      await publisher[Symbol.asyncDispose]();
    },
  };
}
