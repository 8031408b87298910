/** What a tenant is called inside PostgreSQL. Made of a UUID, so all are plain identifiers that need no quotes. */
export interface TenantNames {
  readonly schema: string;
  /** Owns the schema and cannot log in. */
  readonly owner: string;
  /** Holds the rights on rows, for the logins that are members of it, and cannot log in. */
  readonly rows: string;
  /** The service's own login. */
  readonly app: string;
}

/** The names of a tenant; they never follow a rename. */
export function tenantNames(tenantId: string): TenantNames {
  const schema = `tenant_${tenantId.replaceAll('-', '')}`;
  return { schema, owner: schema, rows: `${schema}_rows`, app: `${schema}_app` };
}

/** The login of one of the tenant's lease slots, which count from 1. */
export function leaseLogin({ schema }: TenantNames, slot: number): string {
  return `${schema}_l${slot}`;
}

/** The first name and the last one of the logins, the service's and those of leases, in the order of the server's index. */
export function loginsOf({ schema, app }: TenantNames): { readonly first: string; readonly last: string } {
  // A colon comes behind the digits.
  return { first: app, last: `${schema}_l:` };
}

/** Whether a role is named like the login of a lease slot of the tenant: `…_l1`, `…_l2` and so on. */
export function isLeaseLogin({ schema }: TenantNames, role: string): boolean {
  return role.startsWith(`${schema}_l`) && /^[1-9]\d*$/.test(role.slice(schema.length + 2));
}

/** The comment by which a registry knows its own roles and schemas on a shared server. */
export function ownershipMark(registryId: string, tenantId: string): string {
  return `tenant-management-service registry=${registryId} tenant=${tenantId}`;
}
