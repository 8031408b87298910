import type { Registry } from '../../src/core/ports.ts';
import type { TenantCache } from '../../src/core/tenant-cache.ts';

/** For parts that are put together without a cache: what is read is what is there. */
export function uncached({ find, findBySubdomain }: Pick<Registry, 'find' | 'findBySubdomain'>): TenantCache {
  return { find, peek: () => undefined, findBySubdomain, ...nobodyRemembers };
}

/** For who changes tenants that no process remembers. */
export const nobodyRemembers: Pick<TenantCache, 'outdate'> = { outdate() {} };
