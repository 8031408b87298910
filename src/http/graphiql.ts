import type { YogaServerOptions } from 'graphql-yoga';

const example = `# Put a token in place of TOKEN in "Headers" below, then run this.
query Tenants {
  tenants(first: 10) {
    nodes { id name subdomain status }
  }
}

# Watches a tenant come up:
# subscription Watch { tenantProvisioning(tenantId: "…") { sequence step status operationState } }
`;

/** GraphiQL's settings: a place for the token, and subscriptions over server-sent events. */
export const graphiqlOptions = {
  title: 'Tenants',
  defaultQuery: example,
  headers: JSON.stringify({ authorization: 'Bearer TOKEN' }, null, 2),
  subscriptionsProtocol: 'SSE',
} as const satisfies YogaServerOptions<object, object>['graphiql'];
