import type * as core from '../core/model.ts';
import type { Operation, ProvisioningEvent, Tenant } from '../generated/proto/tenant/v1/tenant.ts';

/** The tenant as the proto has it: without its contact address. */
export function tenantMessage(tenant: core.Tenant): Tenant {
  return {
    id: tenant.id,
    name: tenant.name,
    subdomain: tenant.subdomain,
    status: tenant.status.toLowerCase(),
    createdAt: time(tenant.createdAt),
    updatedAt: time(tenant.updatedAt),
    deletedAt: time(tenant.deletedAt),
  };
}

export function operationMessage(operation: core.Operation): Operation {
  return {
    id: operation.id,
    tenantId: operation.tenantId,
    kind: operation.kind.toLowerCase(),
    state: operation.state.toLowerCase(),
    attempt: operation.attempt,
    error: operation.error ?? '',
    nextAttemptAt: time(operation.nextAttemptAt),
    createdAt: time(operation.createdAt),
    startedAt: time(operation.startedAt),
    finishedAt: time(operation.finishedAt),
  };
}

export function eventMessage(event: core.ProvisioningEvent): ProvisioningEvent {
  return {
    tenantId: event.tenantId,
    operationId: event.operationId,
    kind: event.kind.toLowerCase(),
    operationState: event.operationState.toLowerCase(),
    sequence: event.sequence,
    step: event.step,
    status: event.status.toLowerCase(),
    completedSteps: event.completedSteps,
    totalSteps: event.totalSteps,
    message: event.message ?? '',
    tenantStatus: event.tenantStatus.toLowerCase(),
    createdAt: time(event.createdAt),
  };
}

/** RFC 3339 in UTC, or empty. */
function time(date: Date | null): string {
  return date?.toISOString() ?? '';
}
