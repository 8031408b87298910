import type { Logger } from 'pino';
import type { Relay } from '../core/relay.ts';
import { parseEvent } from './event-message.ts';
import { createHub, type Feed } from './feed.ts';

const channel = 'events';

/** Events between the processes of one machine, for when there is no Redis. */
export function createRelayedFeed(relay: Relay, log: Logger): Feed {
  const hub = createHub(log);
  relay.subscribe(channel, (text) => {
    const event = parseEvent(JSON.parse(text));
    if (event === null) log.error('what another process has published is no event');
    else hub.dispatch(event);
  });
  relay.onMissed(hub.resync);
  return {
    publish(events) {
      for (const event of events) {
        relay.publish(channel, JSON.stringify(event));
        hub.dispatch(event);
      }
    },
    subscribe: hub.subscribe,
    status: async () => 'off',
    // The relay lives as long as the process.
    async [Symbol.asyncDispose]() {},
  };
}
