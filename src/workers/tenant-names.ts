/** What a tenant is called inside PostgreSQL. Made of a UUID, so all are plain identifiers that need no quotes. */
export interface TenantNames {
  readonly schema: string;
  /** Owns the schema and cannot log in. */
  readonly owner: string;
  /** The service's own login, with rights to work on rows. */
  readonly app: string;
}

/** The names of a tenant; they never follow a rename. */
export function tenantNames(tenantId: string): TenantNames {
  const schema = `tenant_${tenantId.replaceAll('-', '')}`;
  return { schema, owner: schema, app: `${schema}_app` };
}

/** The comment by which a registry knows its own roles and schemas on a shared server. */
export function ownershipMark(registryId: string, tenantId: string): string {
  return `tenant-management-service registry=${registryId} tenant=${tenantId}`;
}
