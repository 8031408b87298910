import { untilCancelled } from '../core/cancellation.ts';
import type { Core } from '../core/core.ts';
import { tenantCursor } from '../core/cursor.ts';
import type { Tenant } from '../core/model.ts';
import { isUuid, parse } from '../core/validation.ts';
import { whenDone } from '../core/when-done.ts';
import {
  type CancelOperationRequest,
  type CancelOperationResponse,
  type CreateTenantRequest,
  type CreateTenantResponse,
  type DeleteTenantRequest,
  type DeleteTenantResponse,
  type GetTenantRequest,
  type GetTenantResponse,
  type ListTenantsRequest,
  type ListTenantsResponse,
  type ProvisioningEvent,
  type RestoreTenantRequest,
  type RestoreTenantResponse,
  type RetryOperationRequest,
  type RetryOperationResponse,
  TenantServiceService,
  type UpdateTenantRequest,
  type UpdateTenantResponse,
  type WatchProvisioningRequest,
} from '../generated/proto/tenant/v1/tenant.ts';
import { requireRole } from './access.ts';
import type { CallContext, Calls } from './calls.ts';
import { rememberedBy } from './remembered-by.ts';
import { eventMessage, operationMessage, tenantMessage } from './tenant-messages.ts';
import { checkSubdomainMetadata, idempotencyKeyOf } from './tenant-metadata.ts';
import { byId, listOrder, tenantPage, tenantsAsked, wantedStatus, watchRequest } from './tenant-requests.ts';

const { getTenant } = TenantServiceService;

/** The service as it is in the proto; a tenant that comes from the cache again is not serialized again. */
export const tenantService = {
  ...TenantServiceService,
  getTenant: { ...getTenant, responseSerialize: rememberedBy(getTenant.responseSerialize) },
};

const tenantResponse = rememberedBy(
  (tenant: Tenant): GetTenantResponse => ({ tenant: tenantMessage(tenant) }),
);

/** The handlers of `tenant.v1.TenantService`, for grpc-js. proto3 has no null: an empty string is an absent one. */
export function createTenantService({ tenants, operations, watch }: Core, { unary, serverStream }: Calls) {
  async function createTenant(
    { name, subdomain, contactEmail, tier }: CreateTenantRequest,
    { actor, metadata }: CallContext,
  ): Promise<CreateTenantResponse> {
    checkSubdomainMetadata(metadata, subdomain);
    const idempotencyKey = idempotencyKeyOf(metadata);
    const input = { name, subdomain, contactEmail, tier: tier || null, idempotencyKey };
    const { tenant } = await tenants.create(actor, input);
    return { tenant: tenantMessage(tenant) };
  }

  function getTenant(request: GetTenantRequest): GetTenantResponse | Promise<GetTenantResponse> {
    const { id } = isUuid(request.id) ? request : parse(byId, request);
    return whenDone(tenants.get(id), tenantResponse);
  }

  async function updateTenant(
    request: UpdateTenantRequest,
    { actor }: CallContext,
  ): Promise<UpdateTenantResponse> {
    const { status } = parse(wantedStatus, request);
    const { id, name, subdomain } = request;
    const changes = { id, name: name || null, subdomain: subdomain || null };
    return { tenant: tenantMessage(await tenants.update(actor, changes, status)) };
  }

  async function deleteTenant(
    request: DeleteTenantRequest,
    { actor }: CallContext,
  ): Promise<DeleteTenantResponse> {
    const { id } = parse(byId, request);
    await tenants.remove(actor, id);
    return { success: true };
  }

  async function listTenants(
    request: ListTenantsRequest,
    { actor }: CallContext,
  ): Promise<ListTenantsResponse> {
    const { size, ...query } = tenantPage(request);
    if ((query.filter.deleted ?? 'EXCLUDE') !== 'EXCLUDE')
      requireRole(actor, 'admin', 'To see deleted tenants');
    const { tenants: rows } = await tenants.list(query);
    const page = rows.slice(0, size);
    const last = rows.length > size ? page.at(-1) : undefined;
    return {
      tenants: page.map(tenantMessage),
      nextPageToken: last === undefined ? '' : tenantCursor(last, listOrder.field),
    };
  }

  async function restoreTenant(
    request: RestoreTenantRequest,
    { actor }: CallContext,
  ): Promise<RestoreTenantResponse> {
    const { id } = parse(byId, request);
    const { tenant } = await tenants.restore(actor, id);
    return { tenant: tenantMessage(tenant) };
  }

  async function retryOperation(
    request: RetryOperationRequest,
    { actor }: CallContext,
  ): Promise<RetryOperationResponse> {
    const { id } = parse(byId, request);
    const { operation } = await operations.retry(actor, id);
    return { operation: operationMessage(operation) };
  }

  async function cancelOperation(
    request: CancelOperationRequest,
    { actor }: CallContext,
  ): Promise<CancelOperationResponse> {
    const { id } = parse(byId, request);
    const { operation } = await operations.cancel(actor, id);
    return { operation: operationMessage(operation) };
  }

  async function watchProvisioning(
    { tenantId, afterSequence }: WatchProvisioningRequest,
    { actor, signal }: CallContext,
    send: (event: ProvisioningEvent) => Promise<void>,
  ): Promise<void> {
    const { tenant_id, after_sequence } = parse(watchRequest, {
      tenant_id: tenantId,
      after_sequence: afterSequence,
    });
    // Who leaves gives his stream's place back, however long the database takes.
    await untilCancelled(tenants.get(tenant_id, actor.role === 'admin' ? 'INCLUDE' : 'EXCLUDE'));
    signal.throwIfAborted();
    const events = watch.one(tenant_id, after_sequence);
    // Closes the subscription also while the loop waits for an event that may never come.
    const close = () => void events.return?.();
    signal.addEventListener('abort', close);
    try {
      for await (const event of events) await send(eventMessage(event));
    } finally {
      signal.removeEventListener('abort', close);
    }
  }

  return {
    createTenant: unary(createTenant),
    getTenant: unary(getTenant),
    updateTenant: unary(updateTenant),
    deleteTenant: unary(deleteTenant),
    listTenants: unary(listTenants, tenantsAsked),
    restoreTenant: unary(restoreTenant),
    retryOperation: unary(retryOperation),
    cancelOperation: unary(cancelOperation),
    watchProvisioning: serverStream(watchProvisioning),
  } satisfies Record<keyof typeof tenantService, unknown>;
}
