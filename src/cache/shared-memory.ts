import type { Logger } from 'pino';
import { connectRedis, type RedisServer } from '../redis/redis-connection.ts';
import type { ChangeMessage } from './change-message.ts';
import { subscribeToChanges } from './change-subscription.ts';
import { createRedisTier, type RedisTier } from './redis-tier.ts';

/** After this long Redis is not waited for, milliseconds: PostgreSQL would have answered. */
const commandMs = 200;

export interface SharedMemoryOptions {
  readonly server: RedisServer;
  /** Several registries may share a Redis. */
  readonly registryId: string;
  /** Called with what others have changed; with `all` also when it may not have been heard. */
  readonly onChange: (change: ChangeMessage) => void;
  readonly log: Logger;
}

/** What all processes remember, and what they tell each other of it. */
export interface SharedMemory extends Omit<RedisTier, 'isUp'> {
  /** Whether this process hears of the others' changes, and they of its. */
  isTold(): boolean;
}

/** Two connections: one that listens can do nothing else. Redis may come later. */
export function connectSharedMemory(options: SharedMemoryOptions): SharedMemory {
  const { server, registryId, onChange, log } = options;
  const onTurn = () => onChange('all');
  const channel = `tms:${registryId}:changes`;
  const subscription = subscribeToChanges({
    redis: connectRedis(server, 'cache-subscriber', log),
    channel,
    onChange,
    onTurn,
    log,
  });
  const tier = createRedisTier({
    redis: connectRedis(server, 'cache', log, commandMs),
    prefix: `tms:${registryId}:tenant:`,
    channel,
    onTurn,
    log,
  });
  return {
    find: tier.find,
    store: tier.store,
    outdate: tier.outdate,
    isTold: () => subscription.isUp() && tier.isUp(),
    async [Symbol.asyncDispose]() {
      subscription[Symbol.dispose]();
      await tier[Symbol.asyncDispose]();
    },
  };
}
