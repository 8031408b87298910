import type { Logger } from 'pino';
import type { Tenant } from '../core/model.ts';
import type { Registry } from '../core/ports.ts';
import type { Relay } from '../core/relay.ts';
import type { TenantCache } from '../core/tenant-cache.ts';
import type { RedisServer } from '../redis/redis-connection.ts';
import { type ChangeMessage, changeMessage, parseChangeMessage } from './change-message.ts';
import { connectSharedMemory } from './shared-memory.ts';
import { createTenantMemory, type Moment } from './tenant-memory.ts';
import { toldMs, untoldMs } from './times.ts';
import { unknownVersion } from './version.ts';

/** What a tier answered. `bypass`: it was off after a failure, or did not answer. */
export type CacheAnswer = 'memory hit' | 'memory miss' | 'redis hit' | 'redis miss' | 'redis bypass';

/** Where processes of this machine tell each other of changes. */
const relayChannel = 'changes';

/** What is being read, by id or by subdomain: one read for all who ask. */
type Reads = Map<string, Promise<Tenant | null>>;

export interface TenantCacheOptions {
  /** Where tenants are as they are. */
  readonly registry: Pick<Registry, 'find' | 'findBySubdomain'>;
  /** What the processes of the registry remember together; null: there is only this one. */
  readonly shared: { readonly server: RedisServer; readonly registryId: string } | null;
  /** To the other processes of this machine, which remember each for itself; null: there are none, or Redis is asked. */
  readonly relay: Relay | null;
  readonly onAnswer: (answer: CacheAnswer) => void;
  readonly log: Logger;
}

/**
 * Tenants from this process's memory, else from Redis, else from PostgreSQL. An entry carries its version, and one that is
 * older than what is known to have changed is kept by nobody: docs/cache.md.
 */
export function createTenantCache(options: TenantCacheOptions): TenantCache & AsyncDisposable {
  const { registry, relay, onAnswer, log } = options;
  const memory = createTenantMemory();
  const reads: Reads = new Map();
  const readsBySubdomain: Reads = new Map();
  const shared =
    options.shared &&
    connectSharedMemory({
      ...options.shared,
      onChange: heard,
      log,
    });
  relay?.subscribe(relayChannel, (text) => heard(parseChangeMessage(text) ?? 'all'));
  relay?.onMissed(forgetAll);

  function heard(change: ChangeMessage): void {
    if (change === 'all') forgetAll();
    else forget(change.tenantId, change.version);
  }

  function forget(tenantId: string, version: number): void {
    memory.outdate(tenantId, version);
    // Who asks from now on must not be answered with what was read before.
    reads.delete(tenantId);
    readsBySubdomain.clear();
  }

  function forgetAll(): void {
    memory.clear();
    reads.clear();
    readsBySubdomain.clear();
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

  async function readBySubdomain(subdomain: string): Promise<Tenant | null> {
    const moment = memory.now();
    const tenant = await registry.findBySubdomain(subdomain);
    if (tenant !== null) return fromRegistry(tenant, moment);
    memory.rememberAbsentSubdomain(subdomain, moment);
    return null;
  }

  /** Reads for all who ask meanwhile. */
  function readOnce(
    running: Reads,
    key: string,
    read: (key: string) => Promise<Tenant | null>,
  ): Promise<Tenant | null> {
    const joined = running.get(key);
    if (joined !== undefined) return joined;
    const started = read(key).finally(() => {
      if (running.get(key) === started) running.delete(key);
    });
    running.set(key, started);
    return started;
  }

  return {
    find(id) {
      const known = memory.find(id);
      onAnswer(known === undefined ? 'memory miss' : 'memory hit');
      return known === undefined ? readOnce(reads, id, read) : known;
    },
    peek(id) {
      const known = memory.find(id);
      if (known !== undefined) onAnswer('memory hit');
      return known;
    },
    findBySubdomain(subdomain) {
      const known = memory.findBySubdomain(subdomain);
      onAnswer(known === undefined ? 'memory miss' : 'memory hit');
      return known === undefined ? readOnce(readsBySubdomain, subdomain, readBySubdomain) : known;
    },
    outdate(tenantId, version) {
      const newest = version ?? unknownVersion;
      forget(tenantId, newest);
      shared?.outdate(tenantId, newest);
      relay?.publish(relayChannel, changeMessage({ tenantId, version: newest }));
    },
    async [Symbol.asyncDispose]() {
      await shared?.[Symbol.asyncDispose]();
    },
  };
}
