import { NotFoundError } from './errors.ts';
import type { DeletedFilter, Tenant } from './model.ts';
import type { Registry, TenantPage, TenantQuery } from './ports.ts';
import type { TenantCache } from './tenant-cache.ts';
import { isUuid, parse, tenantFilter, uuid } from './validation.ts';
import { whenDone } from './when-done.ts';

export interface TenantReadsOptions {
  readonly registry: Pick<Registry, 'list' | 'revision'>;
  readonly cache: Pick<TenantCache, 'find' | 'peek' | 'findBySubdomain'>;
}

/** How callers look at tenants: single ones as the cache has them, lists as they are. */
export function createTenantReads({ registry, cache }: TenantReadsOptions) {
  /** The tenant, at once when it is remembered; null when it is unknown or `deleted` hides it. @throws {ValidationError} when the id is no UUID */
  function find(id: string, deleted: DeletedFilter = 'EXCLUDE'): Tenant | null | Promise<Tenant | null> {
    const found = cache.find(isUuid(id) ? id : parse(uuid, id));
    return whenDone(found, (tenant) => (tenant !== null && isShown(tenant, deleted) ? tenant : null));
  }

  /** The tenant, in the same way. @throws {NotFoundError} {ValidationError} */
  function get(id: string, deleted: DeletedFilter = 'EXCLUDE'): Tenant | Promise<Tenant> {
    return whenDone(find(id, deleted), (tenant) => {
      if (tenant === null) throw new NotFoundError('tenant');
      return tenant;
    });
  }

  /** The live tenant with this subdomain, in any case and with surrounding blanks. */
  async function findBySubdomain(subdomain: string): Promise<Tenant | null> {
    const trimmed = subdomain.trim();
    return /^[a-z0-9-]{1,63}$/i.test(trimmed) ? cache.findBySubdomain(trimmed.toLowerCase()) : null;
  }

  /** A page, as {@link Registry.list} has it. @throws {ValidationError} for a filter that breaks a rule */
  async function list(query: TenantQuery, selection: object | null = null): Promise<TenantPage> {
    return registry.list(checked(query), selection);
  }

  /** The revision that the page has now. @throws {ValidationError} for a filter that breaks a rule */
  async function revision(query: TenantQuery): Promise<string | null> {
    return registry.revision(checked(query));
  }

  return { find, get, peek: cache.peek, findBySubdomain, list, revision };
}

function checked(query: TenantQuery): TenantQuery {
  return { ...query, filter: parse(tenantFilter, query.filter) };
}

function isShown({ deletedAt }: Tenant, deleted: DeletedFilter): boolean {
  switch (deleted) {
    case 'EXCLUDE':
      return deletedAt === null;
    case 'INCLUDE':
      return true;
    case 'ONLY':
      return deletedAt !== null;
  }
}
