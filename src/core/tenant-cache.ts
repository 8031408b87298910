import type { Tenant } from './model.ts';

/**
 * Look-ups of single tenants that may answer with what was read a moment ago. How old that may be stands in
 * docs/cache.md; what decides about a change is read under its lock instead.
 */
export interface TenantCache {
  /**
   * The tenant, live or deleted, or null when it is unknown; at once when it is remembered. The same object for as long
   * as it is remembered, which nobody can change.
   * @throws {UnavailableError} when the database is needed and cannot be reached
   */
  find(id: string): Tenant | null | Promise<Tenant | null>;
  /** What `find` answers at once; undefined where it would have to read. */
  peek(id: string): Tenant | null | undefined;
  /** The live tenant with this subdomain, in the same way as `find`. */
  findBySubdomain(subdomain: string): Tenant | null | Promise<Tenant | null>;
  /**
   * Says that a tenant changes, to whoever remembers it, in all processes. First with null, before it is committed: from
   * then on nobody remembers the tenant anew, so that it does not matter if the writer dies behind its commit. Then with
   * the version that was committed, or not at all when that is not known. A new tenant has its version alone. Never throws; there is nothing to wait for.
   */
  outdate(tenantId: string, version: number | null): void;
}
