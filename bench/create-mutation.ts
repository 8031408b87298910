const mutation = `mutation ($input: CreateTenantInput!) { createTenant(input: $input) {
  ... on CreateTenantPayload { tenant { id status } } ... on Error { code message } } }`;

/** A body of creates whose subdomains begin with `label`, which is new for each run. */
export function createBodies(label: string): string[] {
  const subdomain = `${label}-{n}`;
  const input = { name: `Tenant ${subdomain}`, subdomain, contactEmail: `ops@${subdomain}.example` };
  return [JSON.stringify({ query: mutation, variables: { input } })];
}

/** What every answer to them holds. */
export const createAnswer = ['{"data":{"createTenant":{"tenant":{"id":"', '"status":"PROVISIONING"'];
