import type { GraphQLSchema } from 'graphql';
import { createBuilder } from '../schema/builder.ts';
import { answerIdsAtOnce } from '../schema/node-id.ts';
import { addTypes } from '../schema/types.ts';
import { addAuditQueries } from './audit-queries.ts';
import { auditMutations } from './audited-mutations.ts';
import { addOperationMutations } from './operation-mutations.ts';
import { addOperationQueries } from './operation-queries.ts';
import { addProvisioningSubscriptions } from './provisioning-subscriptions.ts';
import { addTenantMutations } from './tenant-mutations.ts';
import { addTenantQueries } from './tenant-queries.ts';

/** The whole schema. It holds nothing: what resolvers need comes with the context of a request. */
export function createSchema(): GraphQLSchema {
  const builder = createBuilder();
  const types = addTypes(builder);

  // The least role for anything at all; fields ask for more.
  builder.queryType({ authScopes: { viewer: true } });
  builder.mutationType({ authScopes: { editor: true } });
  builder.subscriptionType({ authScopes: { viewer: true } });

  addTenantQueries(builder, types);
  addOperationQueries(builder, types);
  addAuditQueries(builder, types);
  addTenantMutations(builder, types);
  addOperationMutations(builder, types);
  addProvisioningSubscriptions(builder, types);

  const schema = builder.toSchema();
  auditMutations(schema.getMutationType());
  answerIdsAtOnce(schema);
  return schema;
}
