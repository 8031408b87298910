import type { Logger } from 'pino';
import { untilCancelled, withCancellation } from '../core/cancellation.ts';
import { UnavailableError } from '../core/errors.ts';
import type { Tenant } from '../core/model.ts';
import type { Registry } from '../core/ports.ts';
import type { TenantCache } from '../core/tenant-cache.ts';
import type { RedisServer } from '../redis/redis-connection.ts';
import { type ChangeMessage, changeMessage, parseChangeMessage } from './change-message.ts';
import { connectSharedMemory } from './shared-memory.ts';
import { createTenantMemory, type Moment } from './tenant-memory.ts';
import { readMs, toldMs, untoldMs } from './times.ts';
import { unknownVersion } from './version.ts';

/** What a tier answered. `bypass`: it was off after a failure, or did not answer. */
export type CacheAnswer = 'memory hit' | 'memory miss' | 'redis hit' | 'redis miss' | 'redis bypass';

/** Carries texts to the other processes of this machine. */
export interface Siblings {
  publish(channel: string, text: string): void;
  subscribe(channel: string, listener: (text: string) => void): void;
  /** Calls when some may have been lost. */
  onMissed(listener: () => void): void;
}

const siblingsChannel = 'changes';

export interface TenantCacheOptions {
  /** Where tenants are as they are. */
  readonly registry: Pick<Registry, 'find' | 'findBySubdomain'>;
  /** What the processes of the registry remember together; null: there is only this one. */
  readonly shared: { readonly server: RedisServer; readonly registryId: string } | null;
  /** The other processes of this machine, which remember each for itself; null: there are none, or Redis is asked. */
  readonly siblings: Siblings | null;
  readonly onAnswer: (answer: CacheAnswer) => void;
  readonly log: Logger;
}

/**
 * Tenants from this process's memory, else from Redis, else from PostgreSQL. An entry carries its version, and one that is
 * older than what is known to have changed is kept by nobody: docs/cache.md.
 */
export function createTenantCache(options: TenantCacheOptions): TenantCache & AsyncDisposable {
  const { registry, siblings, onAnswer, log } = options;
  const memory = createTenantMemory();
  /** What is being read, one read for all who ask. */
  const reads = new Map<string, Promise<Tenant | null>>();
  const shared =
    options.shared &&
    connectSharedMemory({
      ...options.shared,
      onChange: heard,
      log,
    });
  siblings?.subscribe(siblingsChannel, (text) => heard(parseChangeMessage(text) ?? 'all'));
  siblings?.onMissed(forgetAll);

  function heard(change: ChangeMessage): void {
    if (change === 'all') forgetAll();
    else forget(change.tenantId, change.version);
  }

  function forget(tenantId: string, version: number): void {
    memory.outdate(tenantId, version);
    // Who asks from now on must not be answered with what was read before.
    reads.delete(tenantId);
  }

  function forgetAll(): void {
    memory.clear();
    reads.clear();
  }

  /** The tenant, and remembered if that is still right. */
  function remembered(tenant: Tenant, moment: Moment): Tenant {
    return memory.isCurrent(tenant, moment)
      ? memory.remember(tenant, shared?.isTold() ? toldMs : untoldMs)
      : tenant;
  }

  function fromRegistry(tenant: Tenant, moment: Moment): Tenant {
    if (memory.isCurrent(tenant, moment)) shared?.store(tenant);
    return remembered(tenant, moment);
  }

  async function read(id: string): Promise<Tenant | null> {
    const moment = memory.now();
    if (shared !== null) {
      const kept = await shared.find(id);
      const isFresh = typeof kept === 'object' && memory.isCurrent(kept, moment);
      onAnswer(isFresh ? 'redis hit' : kept === 'bypass' ? 'redis bypass' : 'redis miss');
      if (isFresh) return remembered(kept, moment);
    }
    const tenant = await registry.find(id);
    if (tenant !== null) return fromRegistry(tenant, moment);
    memory.rememberAbsent(id, moment);
    return null;
  }

  /** Reads for all who ask meanwhile: to its end, also when the first of them leaves. */
  function readOnce(id: string): Promise<Tenant | null> {
    const running = reads.get(id);
    if (running !== undefined) return running;
    const started = withinTime(() => read(id)).finally(() => {
      if (reads.get(id) === started) reads.delete(id);
    });
    reads.set(id, started);
    return started;
  }

  async function readBySubdomain(subdomain: string): Promise<Tenant | null> {
    const moment = memory.now();
    const tenant = await registry.findBySubdomain(subdomain);
    return tenant === null ? null : fromRegistry(tenant, moment);
  }

  return {
    find(id) {
      const known = memory.find(id);
      onAnswer(known === undefined ? 'memory miss' : 'memory hit');
      return known === undefined ? untilCancelled(readOnce(id)) : known;
    },
    findBySubdomain(subdomain) {
      const known = memory.findBySubdomain(subdomain);
      onAnswer(known === undefined ? 'memory miss' : 'memory hit');
      return known ?? readBySubdomain(subdomain);
    },
    outdate(tenantId, version) {
      const newest = version ?? unknownVersion;
      forget(tenantId, newest);
      shared?.outdate(tenantId, newest);
      siblings?.publish(siblingsChannel, changeMessage({ tenantId, version: newest }));
    },
    async [Symbol.asyncDispose]() {
      await shared?.[Symbol.asyncDispose]();
    },
  };
}

/** @throws {UnavailableError} when it takes longer than a read may; its statement is ended then */
async function withinTime<T>(work: () => Promise<T>): Promise<T> {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), readMs);
  try {
    return await withCancellation(limit.signal, work);
  } catch (error) {
    throw limit.signal.aborted ? new UnavailableError({ cause: error }) : error;
  } finally {
    clearTimeout(timer);
  }
}
