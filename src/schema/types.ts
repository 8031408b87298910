import { addAuditAction, addAuditEntry } from './audit-entry.ts';
import { addAuditFilter } from './audit-filter.ts';
import type { Builder } from './builder.ts';
import { addDateTime } from './date-time.ts';
import { addDeletedFilter } from './deleted-filter.ts';
import { addErrors } from './errors.ts';
import { addOperation } from './operation.ts';
import { addOperationKind } from './operation-kind.ts';
import { addOperationState } from './operation-state.ts';
import { addOperationStep } from './operation-step.ts';
import { addPayloads } from './payloads.ts';
import { addProvisioningEvent } from './provisioning-event.ts';
import { addStepStatus } from './step-status.ts';
import { addTenant } from './tenant.ts';
import { addTenantFilter } from './tenant-filter.ts';
import { addCreateTenantInput, addUpdateTenantInput } from './tenant-inputs.ts';
import { addTenantOrder } from './tenant-order.ts';
import { addTenantPool } from './tenant-pool.ts';
import { addTenantStatus } from './tenant-status.ts';

/** Adds every type but the roots, and answers what the root fields refer to. */
export function addTypes(builder: Builder) {
  addDateTime(builder);
  addErrors(builder);

  const tenantStatus = addTenantStatus(builder);
  const operationKind = addOperationKind(builder);
  const operationState = addOperationState(builder);
  const stepStatus = addStepStatus(builder);
  const deletedFilter = addDeletedFilter(builder);

  addOperationStep(builder, stepStatus);
  const operation = addOperation(builder, { operationKind, operationState });
  const tenant = addTenant(builder, { tenantStatus, operation, tenantPool: addTenantPool(builder) });

  const auditAction = addAuditAction(builder);

  return {
    tenant,
    operation,
    deletedFilter,
    tenantFilter: addTenantFilter(builder, { tenantStatus, deletedFilter }),
    tenantOrder: addTenantOrder(builder),
    createTenantInput: addCreateTenantInput(builder),
    updateTenantInput: addUpdateTenantInput(builder),
    payloads: addPayloads(builder, { tenant, operation }),
    provisioningEvent: addProvisioningEvent(builder, {
      operationKind,
      operationState,
      stepStatus,
      tenantStatus,
    }),
    auditEntry: addAuditEntry(builder, auditAction),
    auditFilter: addAuditFilter(builder, auditAction),
  };
}

export type Types = ReturnType<typeof addTypes>;
