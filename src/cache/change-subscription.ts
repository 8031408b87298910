import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { type ChangeMessage, parseChangeMessage } from './change-message.ts';

/** A server that refuses the subscription is asked again after this long, milliseconds. */
const retryMs = 2_000;

export interface ChangeSubscriptionOptions {
  /** A connection for nothing else. */
  readonly redis: Redis;
  readonly channel: string;
  readonly onChange: (message: ChangeMessage) => void;
  /** Called when changes begin to be heard, and when they are not heard any more. */
  readonly onTurn: () => void;
  readonly log: Logger;
}

/** Hears of the changes of all processes. */
export interface ChangeSubscription extends Disposable {
  isUp(): boolean;
}

/** Subscribes on each connection that `redis` makes. */
export function subscribeToChanges(options: ChangeSubscriptionOptions): ChangeSubscription {
  const { redis, channel, onChange, onTurn, log } = options;
  let up = false;
  let retry: NodeJS.Timeout | undefined;

  async function subscribe(): Promise<void> {
    clearTimeout(retry);
    try {
      await redis.subscribe(channel);
      up = true;
      onTurn();
    } catch (error) {
      // Without a connection the next one subscribes.
      if (redis.status !== 'ready') return;
      log.error({ err: error }, 'Redis refuses the subscription to changes of tenants; it is tried again');
      retry = setTimeout(subscribe, retryMs);
    }
  }

  redis.on('message', (_channel, text) => {
    const message = parseChangeMessage(text);
    if (message === null) log.warn('a message on the channel of changes is none; is the channel shared?');
    else onChange(message);
  });
  redis.on('ready', subscribe);
  redis.on('close', () => {
    clearTimeout(retry);
    if (!up) return;
    up = false;
    onTurn();
  });
  return {
    isUp: () => up,
    [Symbol.dispose]() {
      clearTimeout(retry);
      redis.disconnect();
    },
  };
}
