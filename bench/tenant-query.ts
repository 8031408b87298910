/** The query of one tenant, by its five fields. */
export const tenantQuery = 'query ($id: ID!) { tenant(id: $id) { id name subdomain tier status } }';

/** Those fields as the service answers them. */
export interface TenantFields {
  readonly id: string;
  readonly name: string;
  readonly subdomain: string;
  readonly tier: string;
  readonly status: string;
}

/** A body for each of the tenants. */
export function tenantBodies(ids: readonly string[]): string[] {
  return ids.map((id) => JSON.stringify({ query: tenantQuery, variables: { id } }));
}

/** What every answer to them holds. */
export const tenantAnswer = [
  '{"data":{"tenant":{"id":"',
  '"subdomain":"tenant-',
  '"tier":"standard"',
  '"status":"ACTIVE"',
];
