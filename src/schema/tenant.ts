import type { OutputRef } from '@pothos/core';
import type { Tenant } from '../core/model.ts';
import { pageSize } from '../core/validation.ts';
import type { Builder } from './builder.ts';
import { operationsConnection } from './connections.ts';
import type { addOperation } from './operation.ts';
import type { addTenantPool } from './tenant-pool.ts';
import type { addTenantStatus } from './tenant-status.ts';

interface Used {
  readonly tenantStatus: ReturnType<typeof addTenantStatus>;
  readonly operation: ReturnType<typeof addOperation>;
  readonly tenantPool: ReturnType<typeof addTenantPool>;
}

/** Resolvers answer it with core's tenants, which lack the contact; the fields that need more load it. */
export function addTenant(
  builder: Builder,
  { tenantStatus, operation, tenantPool }: Used,
): OutputRef<Tenant> {
  // Not `t.connection`: that one also takes `last` and `before`.
  const operations = builder.connectionObject(
    { type: operation, name: 'TenantOperationsConnection' },
    { name: 'TenantOperationsConnectionEdge' },
  );
  return builder.prismaNode('Tenant', {
    description: 'A customer with a PostgreSQL schema of its own. The id is the same UUID as over gRPC.',
    id: { field: 'id' },
    // An unknown id reads null.
    nullable: true,
    fields: (t) => ({
      name: t.exposeString('name'),
      subdomain: t.exposeString('subdomain'),
      contactEmail: t.field({
        type: 'String',
        nullable: true,
        description: 'Null without the role admin.',
        authScopes: { admin: true },
        unauthorizedResolver: () => null,
        // Loaded when it is asked for: most tenants come without. Reading the property decrypts it, so nobody else may
        // even touch it.
        select: { contactEmail: true },
        resolve: ({ contactEmail }) => contactEmail,
      }),
      tier: t.exposeString('tier'),
      status: t.expose('status', { type: tenantStatus }),
      version: t.exposeInt('version', { description: 'Counts every visible change.' }),
      schemaVersion: t.exposeInt('schemaVersion', {
        description: 'The last tenant migration applied to the schema.',
      }),
      createdAt: t.expose('createdAt', { type: 'DateTime' }),
      updatedAt: t.expose('updatedAt', { type: 'DateTime' }),
      deletedAt: t.expose('deletedAt', { type: 'DateTime', nullable: true }),
      pool: t.field({
        type: tenantPool,
        nullable: true,
        description: 'Needs the role admin.',
        authScopes: { admin: true },
        // Counted along with the tenants, however many are asked for.
        select: { _count: { select: { leases: { where: { endedAt: null } } } } },
        resolve: (tenant, _args, { core }) => core.leases.usageOf(tenant, tenant._count.leases),
      }),
      operation: t.relation('operation', { nullable: true, description: 'The newest one.' }),
      operations: t.field({
        type: operations,
        description: 'Oldest first; a page has 20 unless `first` says otherwise, at most 100.',
        args: { first: t.arg.int({ validate: pageSize }), after: t.arg.string() },
        resolve: ({ id }, args, context, info) => operationsConnection(id, args, context, info),
      }),
    }),
  });
}
