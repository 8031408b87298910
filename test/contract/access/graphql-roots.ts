import { randomUUID } from 'node:crypto';
import type { GraphQLSchema } from 'graphql';
import { actor } from '../../support/actor.ts';
import { askGraphql } from './ask-graphql.ts';
import { type AccessBed, rowOf } from './callers.ts';
import { tenantThatIs } from './tenants.ts';

const unknown = randomUUID();
const operation = `operation_${unknown}`;

/** Every root field in each way that has a role of its own; what is in parentheses is the way. */
const uses: readonly (readonly [what: string, document: string])[] = [
  ['Query.node', `{ node(id: "${unknown}") { id } }`],
  ['Query.nodes', `{ nodes(ids: ["${unknown}"]) { id } }`],
  ['Query.node(id: an audit entry)', '{ node(id: "audit_1") { id } }'],
  ['Query.nodes(ids: an audit entry)', '{ nodes(ids: ["audit_1"]) { id } }'],
  ['Query.auditLog', '{ auditLog { nodes { id } } }'],
  ['Query.operation', `{ operation(id: "${operation}") { id } }`],
  ['Query.tenant', `{ tenant(id: "${unknown}") { id } }`],
  ['Query.tenant(deleted: EXCLUDE)', `{ tenant(id: "${unknown}", deleted: EXCLUDE) { id } }`],
  ['Query.tenant(deleted: null)', `{ tenant(id: "${unknown}", deleted: null) { id } }`],
  ['Query.tenant(deleted: INCLUDE)', `{ tenant(id: "${unknown}", deleted: INCLUDE) { id } }`],
  ['Query.tenant(deleted: ONLY)', `{ tenant(id: "${unknown}", deleted: ONLY) { id } }`],
  ['Query.tenantBySubdomain', '{ tenantBySubdomain(subdomain: "x") { id } }'],
  ['Query.tenants', '{ tenants { nodes { id } } }'],
  [
    'Query.tenants(filter: without a role)',
    '{ tenants(filter: { search: "x", status: [ACTIVE], tier: "x", deleted: EXCLUDE, contactEmail: null }) { nodes { id } } }',
  ],
  [
    'Query.tenants(filter: contactEmail)',
    '{ tenants(filter: { contactEmail: "a@b.example" }) { nodes { id } } }',
  ],
  ['Query.tenants(filter: deleted: INCLUDE)', '{ tenants(filter: { deleted: INCLUDE }) { nodes { id } } }'],
  ['Query.tenants(filter: deleted: ONLY)', '{ tenants(filter: { deleted: ONLY }) { nodes { id } } }'],
  ['Mutation.cancelOperation', `mutation { cancelOperation(id: "${operation}") { __typename } }`],
  [
    'Mutation.createTenant',
    'mutation { createTenant(input: { name: "", subdomain: "", contactEmail: "" }) { __typename } }',
  ],
  ['Mutation.deleteTenant', `mutation { deleteTenant(id: "${unknown}") { __typename } }`],
  ['Mutation.restoreTenant', `mutation { restoreTenant(id: "${unknown}") { __typename } }`],
  ['Mutation.resumeTenant', `mutation { resumeTenant(id: "${unknown}") { __typename } }`],
  ['Mutation.retryOperation', `mutation { retryOperation(id: "${operation}") { __typename } }`],
  ['Mutation.suspendTenant', `mutation { suspendTenant(id: "${unknown}") { __typename } }`],
  ['Mutation.updateTenant', `mutation { updateTenant(input: { id: "${unknown}" }) { __typename } }`],
  ['Subscription.provisioningFeed', 'subscription { provisioningFeed { step } }'],
  [
    'Subscription.provisioningFeed(tenantIds)',
    `subscription { provisioningFeed(tenantIds: ["${unknown}", $known]) { step } }`,
  ],
  ['Subscription.tenantProvisioning', 'subscription { tenantProvisioning(tenantId: $known) { step } }'],
  ['Introspection', '{ __schema { types { name } } }'],
];

/** The root fields that nobody asks for above. */
export function forgottenRoots(schema: GraphQLSchema): string[] {
  const asked = new Set(uses.map(([what]) => what.replace(/\(.*/, '')));
  return [schema.getQueryType(), schema.getMutationType(), schema.getSubscriptionType()]
    .flatMap((type) => Object.keys(type?.getFields() ?? {}).map((field) => `${type?.name}.${field}`))
    .filter((field) => !asked.has(field));
}

export async function rootRows(bed: AccessBed): Promise<string[]> {
  const { app } = bed;
  const rows: string[] = [];
  for (const [what, document] of uses) {
    const outcome = async (token: string | null): Promise<string> => {
      const { id } = document.startsWith('subscription')
        ? await tenantThatIs(app, 'pending')
        : { id: unknown };
      // A deletion is news, to who asks for this tenant and to who asks for all.
      const news = () =>
        what.includes('Feed') ? app.core.tenants.remove(actor('admin', 'test'), id) : Promise.resolve();
      const { errors = [] } = await askGraphql(app, token, document.replace('$known', `"${id}"`), news);
      return errors[0]?.extensions.code ?? 'ok';
    };
    rows.push(await rowOf(bed, what, outcome));
  }
  return rows;
}
