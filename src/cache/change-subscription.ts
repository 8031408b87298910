import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import { keepSubscribed, type Subscription } from '../redis/keep-subscribed.ts';
import { type ChangeMessage, parseChangeMessage } from './change-message.ts';

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
export function subscribeToChanges(options: ChangeSubscriptionOptions): Subscription {
  const { redis, channel, onChange, onTurn, log } = options;
  redis.on('message', (_channel, text) => {
    const message = parseChangeMessage(text);
    if (message === null) log.warn('a message on the channel of changes is none; is the channel shared?');
    else onChange(message);
  });
  return keepSubscribed({
    redis,
    what: 'changes of tenants',
    subscribe: () => redis.subscribe(channel),
    onUp: onTurn,
    onDown: onTurn,
    log,
  });
}
