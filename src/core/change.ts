import type { AuditAction, AuditedChange } from './audit-entry.ts';
import type { Actor, Operation, ProvisioningEvent, Tenant } from './model.ts';
import type { EventFeed, Registry, RegistryTransaction } from './ports.ts';
import type { TenantCache } from './tenant-cache.ts';

/** A tenant and the operation that its change started. */
export interface TenantChange {
  readonly tenant: Tenant;
  readonly operation: Operation;
}

/** What a transaction has done, who is to hear of it, and what the audit log is to say. */
export interface Changed<T> {
  readonly result: T;
  /** As it is now. */
  readonly tenant: Tenant;
  readonly events: readonly ProvisioningEvent[];
  /** Nothing when nothing was changed. */
  readonly audited: readonly AuditedChange[];
}

export interface ChangeOptions {
  readonly registry: Pick<Registry, 'transaction'>;
  readonly feed: Pick<EventFeed, 'publish'>;
  readonly cache: Pick<TenantCache, 'outdate'>;
}

/** How the registry is changed: commits what is done together with who did it, then tells who remembers or listens. */
export function createChange({ registry, feed, cache }: ChangeOptions) {
  return async <T>(
    actor: Actor,
    work: (transaction: RegistryTransaction) => Promise<Changed<T>>,
  ): Promise<T> => {
    const { events, result, tenant, audited } = await registry.transaction(async (transaction) => {
      const changed = await work(transaction);
      for (const entry of changed.audited) await transaction.audit(actor, entry);
      if (changed.audited.length > 0) cache.outdate(changed.tenant.id, null);
      return changed;
    });
    if (audited.length > 0) cache.outdate(tenant.id, tenant.version);
    feed.publish(events);
    return result;
  };
}

/** What the audit log says of a change that started an operation, or was about one. */
export function audited(action: AuditAction, { tenant, operation }: TenantChange): AuditedChange {
  return { action, tenantId: tenant.id, operationId: operation.id, fields: [] };
}
