import { randomUUID } from 'node:crypto';
import type { AuditedChange } from './audit-entry.ts';
import { audited, createChange, type TenantChange } from './change.ts';
import {
  ForbiddenError,
  IdempotencyConflictError,
  InvalidStateError,
  NotFoundError,
  SealedValueError,
  SubdomainTakenError,
  VersionConflictError,
} from './errors.ts';
import { type Actor, type Operation, roleIncludes, type Tenant } from './model.ts';
import {
  type EventFeed,
  IdempotencyKeyUsedError,
  type Registry,
  type RegistryTransaction,
  type StartedOperation,
  type TenantChanges,
} from './ports.ts';
import type { TenantCache } from './tenant-cache.ts';
import { createTenantReads } from './tenant-reads.ts';
import { type CreateTenantInput, parse, type Rules, type UpdateTenantInput, uuid } from './validation.ts';

export interface TenantsOptions {
  readonly registry: Registry;
  readonly feed: Pick<EventFeed, 'publish'>;
  readonly cache: TenantCache;
  readonly rules: Rules;
  /** A keyed hash, 43 characters; `purpose` separates the uses. */
  readonly digest: (purpose: string, value: string) => string;
}

export type Tenants = ReturnType<typeof createTenants>;

/** What callers do with tenants; every acknowledged change is durable with its operation and its job. */
export function createTenants({ registry, feed, cache, rules, digest }: TenantsOptions) {
  const change = createChange({ registry, feed, cache });

  /** What an earlier request with this idempotency key made, as it is now. */
  async function earlier(subject: string, key: string, inputHash: string): Promise<TenantChange | null> {
    const found = await registry.findIdempotencyKey(subject, key);
    if (found === null) return null;
    if (found.inputHash !== inputHash) throw new IdempotencyConflictError();
    const tenant = await registry.find(found.tenantId);
    const operation = tenant?.operationId ? await registry.findOperation(tenant.operationId) : null;
    if (tenant === null || operation === null) throw new NotFoundError('tenant');
    return { tenant, operation };
  }

  /**
   * Accepts a new tenant: it is `PROVISIONING` until a worker has made its schema.
   * @throws {ValidationError} {SubdomainTakenError} {IdempotencyConflictError}
   */
  async function create(actor: Actor, input: CreateTenantInput): Promise<TenantChange> {
    const { idempotencyKey, ...data } = parse(rules.createTenant, input);
    const tier = data.tier ?? 'standard';
    const inputHash = digest(
      'idempotency',
      JSON.stringify([data.name, data.subdomain, data.contactEmail.toLowerCase(), tier]),
    );
    const idempotency = idempotencyKey ? { key: idempotencyKey, inputHash } : null;
    const repeated = () => idempotency && earlier(actor.subject, idempotency.key, inputHash);
    const known = await repeated();
    if (known) return known;
    try {
      const started = await registry.create({ ...data, tier, id: randomUUID(), actor, idempotency });
      // Nobody can have asked for its id, but for its subdomain somebody may.
      cache.outdate(started.tenant.id, started.tenant.version);
      feed.publish([started.event]);
      return started;
    } catch (error) {
      // The same request ran beside this one and was first; either constraint may have noticed.
      if (error instanceof IdempotencyKeyUsedError || error instanceof SubdomainTakenError) {
        const first = await repeated();
        if (first) return first;
      }
      throw error;
    }
  }

  /**
   * Changes what is given. `status` is what a client believes the tenant to be or wants it to be: the present one
   * changes nothing, `ACTIVE` and `INACTIVE` start a RESUME or SUSPEND in the same transaction. Only an admin may change
   * it, which is seen under the lock: who is no admin never starts an operation.
   * @throws {ValidationError} {NotFoundError} {VersionConflictError} {SubdomainTakenError} {InvalidStateError}
   * @throws {ForbiddenError}
   */
  async function update(
    actor: Actor,
    input: UpdateTenantInput,
    status: Tenant['status'] | null = null,
  ): Promise<Tenant> {
    const { id, expectedVersion, ...data } = parse(rules.updateTenant, input);
    return change(actor, async (transaction) => {
      const present = await lockLive(transaction, id);
      if (expectedVersion != null && expectedVersion !== present.version) {
        throw new VersionConflictError(expectedVersion, present.version);
      }
      const changes = await realChanges(transaction, data, present);
      const fields = Object.keys(changes);
      const updated = fields.length > 0 ? await transaction.update(id, changes) : present;
      const update = { action: 'UPDATE_TENANT', tenantId: id, operationId: null, fields } as const;
      const entries = fields.length > 0 ? [update] : [];
      if (status === null || status === updated.status) {
        return { result: updated, tenant: updated, events: [], audited: entries };
      }
      if (!roleIncludes(actor.role, 'admin')) {
        throw new ForbiddenError(
          `To change a tenant's status needs the role admin; your role is ${actor.role}.`,
        );
      }
      if (status !== 'ACTIVE' && status !== 'INACTIVE') {
        throw new InvalidStateError(
          `A tenant cannot be set to ${status.toLowerCase()}; it is ${updated.status.toLowerCase()}.`,
        );
      }
      const started = await startSwitch(transaction, updated, status);
      return {
        result: started.tenant,
        tenant: started.tenant,
        events: [started.event],
        audited: [...entries, switched(status, started)],
      };
    });
  }

  /** Starts taking the tenant's access away or giving it back. @throws {NotFoundError} {InvalidStateError} {ValidationError} */
  async function switchTo(actor: Actor, id: string, status: 'ACTIVE' | 'INACTIVE'): Promise<TenantChange> {
    const tenantId = parse(uuid, id);
    return change(actor, async (transaction) => {
      const started = await startSwitch(transaction, await lockLive(transaction, tenantId), status);
      const { tenant, event } = started;
      return { result: started, tenant, events: [event], audited: [switched(status, started)] };
    });
  }

  /**
   * Deletes the tenant: it is hidden and its subdomain free at once, its data stays. What runs is cancelled,
   * nothing of it undone.
   * `changed` is false when it was deleted before.
   * @throws {NotFoundError} for an id that never was {ValidationError}
   */
  async function remove(
    actor: Actor,
    id: string,
  ): Promise<{ tenant: Tenant; operation: Operation | null; changed: boolean }> {
    const tenantId = parse(uuid, id);
    return change<{ tenant: Tenant; operation: Operation | null; changed: boolean }>(
      actor,
      async (transaction) => {
        const present = await transaction.lock(tenantId);
        if (present === null) throw new NotFoundError('tenant');
        if (present.deletedAt !== null) {
          const result = { tenant: present, operation: null, changed: false };
          return { result, tenant: present, events: [], audited: [] };
        }
        const running = await transaction.unfinishedOperation(tenantId);
        const cancelled = running ? [await transaction.abandon(running)] : [];
        await transaction.delete(tenantId);
        const { event, ...started } = await transaction.start(tenantId, 'DELETE');
        return {
          result: { ...started, changed: true },
          tenant: started.tenant,
          events: [...cancelled, event],
          audited: [audited('DELETE_TENANT', started)],
        };
      },
    );
  }

  /**
   * Brings a deleted tenant back under its subdomain, in the status that it had; one that never came up is
   * provisioned anew.
   * @throws {NotFoundError} {SubdomainTakenError} {InvalidStateError} {ValidationError}
   */
  async function restore(actor: Actor, id: string): Promise<TenantChange> {
    const tenantId = parse(uuid, id);
    return change(actor, async (transaction) => {
      const present = await transaction.lock(tenantId);
      if (present === null) throw new NotFoundError('tenant');
      if (await transaction.isSubdomainTaken(present.subdomain, tenantId)) {
        throw new SubdomainTakenError(present.subdomain);
      }
      if (present.deletedAt === null)
        throw new InvalidStateError('The tenant is not deleted; there is nothing to restore.');
      await refuseUnfinished(transaction, tenantId);
      await transaction.restore(tenantId);
      const cameUp = present.status === 'ACTIVE' || present.status === 'INACTIVE';
      const { event, ...started } = await transaction.start(tenantId, cameUp ? 'RESTORE' : 'PROVISION');
      const { tenant } = started;
      return { result: started, tenant, events: [event], audited: [audited('RESTORE_TENANT', started)] };
    });
  }

  return {
    ...createTenantReads({ registry, cache }),
    create,
    update,
    remove,
    restore,
    suspend: (actor: Actor, id: string) => switchTo(actor, id, 'INACTIVE'),
    resume: (actor: Actor, id: string) => switchTo(actor, id, 'ACTIVE'),
  };
}

function switched(status: 'ACTIVE' | 'INACTIVE', started: TenantChange): AuditedChange {
  return audited(status === 'ACTIVE' ? 'RESUME_TENANT' : 'SUSPEND_TENANT', started);
}

async function lockLive(transaction: RegistryTransaction, id: string): Promise<Tenant> {
  const tenant = await transaction.lock(id);
  if (tenant === null || tenant.deletedAt !== null) throw new NotFoundError('tenant');
  return tenant;
}

async function refuseUnfinished(transaction: RegistryTransaction, tenantId: string): Promise<void> {
  const unfinished = await transaction.unfinishedOperation(tenantId);
  if (unfinished !== null) {
    throw new InvalidStateError(
      `The tenant's ${unfinished.kind} operation is not finished; wait for its end and try again.`,
    );
  }
}

async function startSwitch(
  transaction: RegistryTransaction,
  tenant: Tenant,
  status: 'ACTIVE' | 'INACTIVE',
): Promise<StartedOperation> {
  await refuseUnfinished(transaction, tenant.id);
  const from = status === 'ACTIVE' ? 'INACTIVE' : 'ACTIVE';
  if (tenant.status !== from) {
    throw new InvalidStateError(
      `Only a tenant that is ${from.toLowerCase()} can become ${status.toLowerCase()}; this one is ${tenant.status.toLowerCase()}.`,
    );
  }
  return transaction.start(tenant.id, status === 'ACTIVE' ? 'RESUME' : 'SUSPEND');
}

/** What is given and differs; null and absent both mean unchanged. */
async function realChanges(
  transaction: RegistryTransaction,
  { contactEmail, ...data }: { readonly [K in keyof TenantChanges]: TenantChanges[K] | null | undefined },
  present: Tenant,
): Promise<TenantChanges> {
  const differs = ([field, value]: [string, unknown]) =>
    value != null && value !== Reflect.get(present, field);
  const changes: TenantChanges = Object.fromEntries(Object.entries(data).filter(differs));
  if (contactEmail == null || (await isContact(transaction, present.id, contactEmail))) return changes;
  return { ...changes, contactEmail };
}

/** An address that does not open any more is no reason not to give the tenant another one. */
async function isContact(transaction: RegistryTransaction, id: string, address: string): Promise<boolean> {
  try {
    return (await transaction.contactEmail(id)) === address;
  } catch (error) {
    if (error instanceof SealedValueError) return false;
    throw error;
  }
}
