import { LRUCache } from 'lru-cache';
import type { Tenant } from '../core/model.ts';
import { absentMs, changeMs, jittered } from './times.ts';
import { newestVersion } from './version.ts';

/** As many tenants are remembered, some kilobytes each with what others derive from them. */
export const tenantLimit = 10_000;
/** As many unknown ids, and subdomains: whoever asks for made-up ones drives out nothing else. */
const absentLimit = 1_000;
const changeLimit = 50_000;

/** A moment of a memory, kept by whoever begins to read what is to be remembered. */
export interface Moment {
  /** How often everything was forgotten before. */
  readonly epoch: number;
  /** How many changes were heard of before. */
  readonly changes: number;
}

/** The tenants that this process remembers, the ones that were asked for last. Every answer is immediate. */
export function createTenantMemory() {
  const tenants = new LRUCache<string, Tenant>({ max: tenantLimit });
  const ids = new LRUCache<string, string>({ max: tenantLimit });
  const absent = new LRUCache<string, true>({ max: absentLimit, ttl: absentMs });
  const absentSubdomains = new LRUCache<string, true>({ max: absentLimit, ttl: absentMs });
  let epoch = 0;
  let changesHeard = 0;
  // The newest version of what has changed a moment ago. Whoever began to read before may bring an older one.
  const changes = new LRUCache<string, number>({
    max: changeLimit,
    ttl: changeMs,
    // One that is not known any more may be the one that a reader had to know.
    dispose: (_version, _id, reason) => {
      if (reason === 'evict') epoch += 1;
    },
  });

  /** Whether what was read since `moment` is as new as what is known; otherwise it must not be remembered, nowhere. */
  function isCurrent(tenant: Pick<Tenant, 'id' | 'version'>, moment: Moment): boolean {
    return moment.epoch === epoch && tenant.version >= (changes.get(tenant.id) ?? 0);
  }

  return {
    /** Undefined: not remembered; null: remembered as unknown. */
    find(id: string): Tenant | null | undefined {
      return tenants.get(id) ?? (absent.has(id) ? null : undefined);
    },
    /** The live tenant with the subdomain, likewise; the mapping is believed only as long as the tenant confirms it. */
    findBySubdomain(subdomain: string): Tenant | null | undefined {
      const id = ids.get(subdomain);
      const tenant = id === undefined ? undefined : tenants.get(id);
      if (tenant?.subdomain === subdomain && tenant.deletedAt === null) return tenant;
      return absentSubdomains.has(subdomain) ? null : undefined;
    },
    now: (): Moment => ({ epoch, changes: changesHeard }),
    isCurrent,
    /**
     * Remembers a tenant that is current, for `ms` milliseconds.
     * @returns the one that is remembered: the same object as before where nothing has changed
     */
    remember(tenant: Tenant, ms: number): Tenant {
      const known = tenants.get(tenant.id);
      if (known !== undefined && known.version >= tenant.version) return known;
      tenants.set(tenant.id, Object.freeze(tenant), { ttl: jittered(ms) });
      if (tenant.deletedAt === null) {
        ids.set(tenant.subdomain, tenant.id);
        absentSubdomains.delete(tenant.subdomain);
      }
      absent.delete(tenant.id);
      return tenant;
    },
    rememberAbsent(id: string, moment: Moment): void {
      if (isCurrent({ id, version: 0 }, moment)) absent.set(id, true);
    },
    /** Any tenant that has changed meanwhile may have taken the subdomain. */
    rememberAbsentSubdomain(subdomain: string, moment: Moment): void {
      if (moment.epoch === epoch && moment.changes === changesHeard) absentSubdomains.set(subdomain, true);
    },
    /** Forgets what is older than `version`. */
    outdate(id: string, version: number): void {
      changesHeard += 1;
      const newest = newestVersion(changes.get(id), version);
      changes.set(id, newest);
      const known = tenants.peek(id);
      if (known !== undefined && known.version < newest) tenants.delete(id);
      absent.delete(id);
      absentSubdomains.clear();
    },
    /** Forgets everything, also what is being read. */
    clear(): void {
      epoch += 1;
      tenants.clear();
      ids.clear();
      absent.clear();
      absentSubdomains.clear();
    },
  };
}
