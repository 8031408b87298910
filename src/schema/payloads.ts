import type { TenantChange } from '../core/change.ts';
import type { Operation, Tenant } from '../core/model.ts';
import type { Builder } from './builder.ts';
import type { addOperation } from './operation.ts';
import type { addTenant } from './tenant.ts';

interface Used {
  readonly tenant: ReturnType<typeof addTenant>;
  readonly operation: ReturnType<typeof addOperation>;
}

/** What a mutation answers with when it succeeds; each has its own type, so that it may grow alone. */
export function addPayloads(builder: Builder, { tenant, operation }: Used) {
  const tenantChange = (name: string) =>
    builder.objectRef<TenantChange>(name).implement({
      fields: (t) => ({
        tenant: t.field({ type: tenant, resolve: (change) => change.tenant }),
        operation: t.field({ type: operation, resolve: (change) => change.operation }),
      }),
    });
  const operationChange = (name: string) =>
    builder.objectRef<{ readonly operation: Operation }>(name).implement({
      fields: (t) => ({ operation: t.field({ type: operation, resolve: (change) => change.operation }) }),
    });
  return {
    createTenant: tenantChange('CreateTenantPayload'),
    updateTenant: builder.objectRef<{ readonly tenant: Tenant }>('UpdateTenantPayload').implement({
      fields: (t) => ({ tenant: t.field({ type: tenant, resolve: (change) => change.tenant }) }),
    }),
    suspendTenant: tenantChange('SuspendTenantPayload'),
    resumeTenant: tenantChange('ResumeTenantPayload'),
    deleteTenant: tenantChange('DeleteTenantPayload'),
    restoreTenant: tenantChange('RestoreTenantPayload'),
    retryOperation: operationChange('RetryOperationPayload'),
    cancelOperation: operationChange('CancelOperationPayload'),
  };
}
