import type { Logger } from 'pino';
import { parseEvent } from './event-message.ts';
import { createHub, type Feed } from './feed.ts';

/** Carries texts to the other processes of this machine. */
export interface Relay {
  /** Sends a text to all others, not to this one. */
  publish(channel: string, text: string): void;
  /** Calls with each text that another one has published on the channel. */
  subscribe(channel: string, listener: (text: string) => void): void;
  /** Calls when some may have been lost. */
  onMissed(listener: () => void): void;
}

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
