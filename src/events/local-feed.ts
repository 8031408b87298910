import { PubSub } from 'graphql-subscriptions';
import type { Logger } from 'pino';
import type { ProvisioningEvent } from '../core/model.ts';
import { createHub, type Feed } from './feed.ts';

const channel = 'events';

/** Events within this process, for when there is no Redis and no other process. */
export async function createLocalFeed(log: Logger): Promise<Feed> {
  const pubsub = new PubSub();
  const hub = createHub(log);
  const subscription = await pubsub.subscribe(channel, (event: ProvisioningEvent) => hub.dispatch(event));
  return {
    publish: (events) => events.forEach((event) => void pubsub.publish(channel, event)),
    subscribe: hub.subscribe,
    status: async () => 'off',
    async [Symbol.asyncDispose]() {
      pubsub.unsubscribe(subscription);
    },
  };
}
