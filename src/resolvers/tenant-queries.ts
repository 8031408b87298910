import type { DeletedFilter } from '../core/model.ts';
import { uuid } from '../core/validation.ts';
import type { Builder } from '../schema/builder.ts';
import { tenantsConnection } from '../schema/connections.ts';
import type { Types } from '../schema/types.ts';

export function addTenantQueries(
  builder: Builder,
  { tenant, tenantFilter, tenantOrder, deletedFilter }: Types,
): void {
  builder.queryFields((t) => ({
    tenant: t.field({
      type: tenant,
      nullable: true,
      args: {
        id: t.arg.id({ required: true, validate: uuid }),
        deleted: t.arg({ type: deletedFilter, defaultValue: 'EXCLUDE' }),
      },
      authScopes: (_root, { deleted }) => !seesDeleted(deleted) || { admin: true },
      resolve: (_root, { id, deleted }, { core }) => core.tenants.find(id, deleted ?? 'EXCLUDE'),
    }),

    tenantBySubdomain: t.field({
      type: tenant,
      nullable: true,
      args: { subdomain: t.arg.string({ required: true }) },
      resolve: (_root, { subdomain }, { core }) => core.tenants.findBySubdomain(subdomain),
    }),

    tenants: t.connection({
      type: tenant,
      description:
        'In the order of creation unless told; a page has 20 unless `first` or `last` says otherwise, at most 100.',
      args: { filter: t.arg({ type: tenantFilter }), orderBy: t.arg({ type: tenantOrder }) },
      authScopes: (_root, { filter }) =>
        !(filter?.contactEmail != null || seesDeleted(filter?.deleted)) || { admin: true },
      resolve: (_root, { filter, orderBy, ...page }, context, info) =>
        tenantsConnection(
          page,
          { filter: filter ?? {}, order: orderBy ?? { field: 'CREATED_AT', direction: 'ASC' } },
          context,
          info,
        ),
    }),
  }));
}

function seesDeleted(deleted: DeletedFilter | null | undefined): boolean {
  return deleted != null && deleted !== 'EXCLUDE';
}
