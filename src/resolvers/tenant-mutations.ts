import { z } from 'zod';
import {
  IdempotencyConflictError,
  InvalidStateError,
  NotFoundError,
  SubdomainTakenError,
  ValidationError,
  VersionConflictError,
} from '../core/errors.ts';
import { parse, uuid } from '../core/validation.ts';
import type { Builder } from '../schema/builder.ts';
import type { Types } from '../schema/types.ts';

const tenantArguments = z.object({ id: uuid });

export function addTenantMutations(
  builder: Builder,
  { payloads, createTenantInput, updateTenantInput }: Types,
): void {
  builder.mutationFields((t) => ({
    createTenant: t.field({
      type: payloads.createTenant,
      args: { input: t.arg({ type: createTenantInput, required: true }) },
      errors: { types: [ValidationError, SubdomainTakenError, IdempotencyConflictError] },
      resolve: (_root, { input }, { core, principal }) => core.tenants.create(principal, input),
    }),

    updateTenant: t.field({
      type: payloads.updateTenant,
      args: { input: t.arg({ type: updateTenantInput, required: true }) },
      errors: { types: [ValidationError, NotFoundError, VersionConflictError, SubdomainTakenError] },
      resolve: async (_root, { input }, { core, principal }) => ({
        tenant: await core.tenants.update(principal, input),
      }),
    }),

    suspendTenant: t.field({
      type: payloads.suspendTenant,
      args: { id: t.arg.id({ required: true }) },
      authScopes: { admin: true },
      errors: { types: [ValidationError, NotFoundError, InvalidStateError] },
      resolve: (_root, args, { core, principal }) =>
        core.tenants.suspend(principal, parse(tenantArguments, args).id),
    }),

    resumeTenant: t.field({
      type: payloads.resumeTenant,
      args: { id: t.arg.id({ required: true }) },
      authScopes: { admin: true },
      errors: { types: [ValidationError, NotFoundError, InvalidStateError] },
      resolve: (_root, args, { core, principal }) =>
        core.tenants.resume(principal, parse(tenantArguments, args).id),
    }),

    deleteTenant: t.field({
      type: payloads.deleteTenant,
      args: { id: t.arg.id({ required: true }) },
      authScopes: { admin: true },
      errors: { types: [ValidationError, NotFoundError] },
      resolve: async (_root, args, { core, principal }) => {
        const { tenant, operation } = await core.tenants.remove(principal, parse(tenantArguments, args).id);
        // It was deleted before. gRPC calls that a success; here a deleted tenant does not exist.
        if (operation === null) throw new NotFoundError('tenant');
        return { tenant, operation };
      },
    }),

    restoreTenant: t.field({
      type: payloads.restoreTenant,
      args: { id: t.arg.id({ required: true }) },
      authScopes: { admin: true },
      errors: { types: [ValidationError, NotFoundError, SubdomainTakenError, InvalidStateError] },
      resolve: (_root, args, { core, principal }) =>
        core.tenants.restore(principal, parse(tenantArguments, args).id),
    }),
  }));
}
