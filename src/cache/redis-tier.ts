import type { Redis } from 'ioredis';
import type { Logger } from 'pino';
import type { Tenant } from '../core/model.ts';
import { closeRedis } from '../redis/redis-connection.ts';
import { changeMessage } from './change-message.ts';
import { outdateScript, storeScript } from './scripts.ts';
import { parseTenantEntry, tenantEntry } from './tenant-entry.ts';
import { changeMs, jittered, sharedMs } from './times.ts';
import { createUnsentChanges } from './unsent-changes.ts';
import { unknownVersion } from './version.ts';

/** A server that failed is left alone for so long, milliseconds. */
const retryMs = 1_000;
/** Commands that are sent at once when many have gathered. */
const batch = 100;

export interface RedisTierOptions {
  readonly redis: Redis;
  /** Tenants are kept under keys that begin so. */
  readonly prefix: string;
  /** Where changes are told. */
  readonly channel: string;
  /** Called when entries begin to be used, and when they are not used any more. */
  readonly onTurn: () => void;
  readonly log: Logger;
}

/** What all processes remember together. It is never waited for longer than a command's timeout, and never throws. */
export interface RedisTier extends AsyncDisposable {
  /** Whether Redis answers, and has been told of every change. */
  isUp(): boolean;
  /** The tenant, or why there is none: it is not kept, or Redis is not asked. */
  find(id: string): Promise<Tenant | 'miss' | 'bypass'>;
  /** Keeps a tenant that was read, unless something newer is known. */
  store(tenant: Tenant): void;
  /** Lets nobody keep what is older than `version`. What cannot be said now is said before Redis is read again. */
  outdate(tenantId: string, version: number): void;
}

export function createRedisTier({ redis, prefix, channel, onTurn, log }: RedisTierOptions): RedisTier {
  const unsent = createUnsentChanges();
  const sending = new Set<Promise<void>>();
  let up = false;
  let recovering = false;
  let failed = false;
  let closed = false;
  let retry: NodeJS.Timeout | undefined;

  function fail(error: unknown): void {
    if (!up) return;
    up = false;
    failed = true;
    log.warn({ err: error }, 'tenants are not cached in Redis now: it does not answer');
    retry = setTimeout(recover, retryMs);
    onTurn();
  }

  /** Tells Redis what it has missed; only then it is read. */
  async function recover(): Promise<void> {
    clearTimeout(retry);
    if (up || recovering || closed || redis.status !== 'ready') return;
    recovering = true;
    try {
      await redis.ping();
      while (!unsent.isEmpty()) await sendAll();
      up = !closed;
      if (failed) log.info('tenants are cached in Redis again');
      onTurn();
    } catch (error) {
      log.debug({ err: error }, 'Redis cannot be told of changes yet; that is tried again');
      // Without a connection the next one is the occasion.
      if (!closed && redis.status === 'ready') retry = setTimeout(recover, retryMs);
    } finally {
      recovering = false;
    }
  }

  async function sendAll(): Promise<void> {
    const changes = unsent.take();
    try {
      if (changes === 'all') return await outdateAll();
      const all = [...changes];
      for (let from = 0; from < all.length; from += batch) {
        await Promise.all(all.slice(from, from + batch).map(([id, version]) => tell(id, version)));
      }
    } catch (error) {
      unsent.giveBack(changes);
      throw error;
    }
  }

  /** As if every tenant that is kept were being changed. */
  async function outdateAll(): Promise<void> {
    let cursor = '0';
    do {
      const [next, keys] = await redis.scan(cursor, 'MATCH', `${prefix}*`, 'COUNT', 1_000);
      cursor = next;
      await Promise.all(keys.map((key) => redis.set(key, String(unknownVersion), 'PX', changeMs, 'XX')));
    } while (cursor !== '0');
    await redis.publish(channel, changeMessage('all'));
  }

  function tell(tenantId: string, version: number): Promise<unknown> {
    const message = changeMessage({ tenantId, version });
    return redis.eval(outdateScript, 1, prefix + tenantId, String(version), changeMs, channel, message);
  }

  /** Nobody waits for it but the end. */
  function send(command: Promise<unknown>, onFailure: () => void): void {
    const sent = command
      .then(
        () => {},
        (error) => {
          onFailure();
          fail(error);
        },
      )
      .finally(() => sending.delete(sent));
    sending.add(sent);
  }

  redis.on('ready', recover);
  redis.on('close', () => fail(new Error('the connection is closed')));

  return {
    isUp: () => up,
    async find(id) {
      if (!up) return 'bypass';
      try {
        const entry = await redis.get(prefix + id);
        return (entry === null ? null : parseTenantEntry(entry)) ?? 'miss';
      } catch (error) {
        fail(error);
        return 'bypass';
      }
    },
    store(tenant) {
      if (!up) return;
      const { id, version } = tenant;
      const entry = tenantEntry(tenant);
      const stored = redis.eval(storeScript, 1, prefix + id, String(version), entry, jittered(sharedMs));
      // What was not answered in time may be done later yet, when nobody knows any more what it is too old for.
      send(stored, () => unsent.add(id, unknownVersion));
    },
    outdate(tenantId, version) {
      if (up) send(tell(tenantId, version), () => unsent.add(tenantId, version));
      else unsent.add(tenantId, version);
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      up = false;
      clearTimeout(retry);
      // Each ends by itself, with an answer or without one in time.
      await Promise.all(sending);
      closeRedis(redis);
    },
  };
}
