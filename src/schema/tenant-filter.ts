import { tenantFilter } from '../core/validation.ts';
import type { Builder } from './builder.ts';
import type { addDeletedFilter } from './deleted-filter.ts';
import type { addTenantStatus } from './tenant-status.ts';

interface Used {
  readonly tenantStatus: ReturnType<typeof addTenantStatus>;
  readonly deletedFilter: ReturnType<typeof addDeletedFilter>;
}

export function addTenantFilter(builder: Builder, { tenantStatus, deletedFilter }: Used) {
  return builder
    .inputType('TenantFilter', {
      description: 'What is given must all hold.',
      fields: (t) => ({
        status: t.field({ type: [tenantStatus], description: 'Any of these.' }),
        tier: t.string(),
        search: t.string({ description: 'The beginning of the name or of the subdomain, in any case.' }),
        contactEmail: t.string({ description: 'The whole address, in any case. Needs the role admin.' }),
        deleted: t.field({ type: deletedFilter, description: 'Other than EXCLUDE needs the role admin.' }),
      }),
    })
    .validate(tenantFilter);
}
