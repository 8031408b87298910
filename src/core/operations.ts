import type { AuditAction } from './audit-entry.ts';
import { audited, createChange, type TenantChange } from './change.ts';
import { InvalidStateError, NotFoundError } from './errors.ts';
import type { Actor, Operation } from './model.ts';
import type { EventFeed, Page, Registry, RegistryTransaction, StartedOperation } from './ports.ts';
import type { TenantCache } from './tenant-cache.ts';
import { parse, uuid } from './validation.ts';

export interface OperationsOptions {
  readonly registry: Registry;
  readonly feed: Pick<EventFeed, 'publish'>;
  readonly cache: Pick<TenantCache, 'outdate'>;
}

export type Operations = ReturnType<typeof createOperations>;

/** What callers do with operations. */
export function createOperations({ registry, feed, cache }: OperationsOptions) {
  const change = createChange({ registry, feed, cache });

  /** The operation, or null. @throws {ValidationError} when the id is no UUID */
  async function find(id: string): Promise<Operation | null> {
    return registry.findOperation(parse(uuid, id));
  }

  /** A tenant's operations, oldest first. @throws {ValidationError} when the id is no UUID */
  async function list(tenantId: string, page: Page, selection: object = {}): Promise<Operation[]> {
    return registry.listOperations(parse(uuid, tenantId), page, selection);
  }

  async function known(id: string): Promise<Operation> {
    const operation = await find(id);
    if (operation === null) throw new NotFoundError('operation');
    return operation;
  }

  /** Changes an operation under its locks, and tells who listens. */
  async function changeOperation(
    actor: Actor,
    action: AuditAction,
    id: string,
    work: (
      transaction: RegistryTransaction,
      operation: Operation,
      newest: boolean,
    ) => Promise<StartedOperation>,
  ): Promise<TenantChange> {
    const { tenantId, id: operationId } = await known(id);
    return change(actor, async (transaction) => {
      // Tenant first, operation second: the order in which everybody locks.
      const tenant = await transaction.lock(tenantId);
      const operation = await transaction.lockOperation(operationId);
      if (tenant === null || operation === null) throw new NotFoundError('operation');
      const newest = tenant.operationId === operationId;
      const { event, ...result } = await work(transaction, operation, newest);
      return { result, tenant: result.tenant, events: [event], audited: [audited(action, result)] };
    });
  }

  /**
   * Lets a failed operation go on at the step that failed; one that failed while it was being cancelled, with that.
   * @throws {ValidationError} {NotFoundError} {InvalidStateError} when it did not fail, or is not its tenant's newest
   */
  async function retry(actor: Actor, id: string): Promise<TenantChange> {
    return changeOperation(actor, 'RETRY_OPERATION', id, async (transaction, operation, newest) => {
      if (operation.state !== 'FAILED') {
        throw new InvalidStateError(
          `Only a failed operation can be retried; this one is ${operation.state}.`,
        );
      }
      if (!newest) throw new InvalidStateError('Only the newest operation of a tenant can be retried.');
      return transaction.reopen(operation);
    });
  }

  /**
   * Takes back what an unfinished or failed operation did, step by step in reverse order; a worker does it, and the
   * operation is CANCELLED when that is done. A tenant that it was bringing up is deleted then.
   * @throws {ValidationError} {NotFoundError} {InvalidStateError} when it is finished, is being cancelled, is a
   * deletion, or is not its tenant's newest
   */
  async function cancel(actor: Actor, id: string): Promise<TenantChange> {
    return changeOperation(actor, 'CANCEL_OPERATION', id, async (transaction, operation, newest) => {
      if (operation.kind === 'DELETE') {
        throw new InvalidStateError('A deletion cannot be cancelled; restoring the tenant takes it back.');
      }
      if (operation.state === 'SUCCEEDED' || operation.state === 'CANCELLED') {
        throw new InvalidStateError(
          `Only an operation that is not finished, or failed, can be cancelled; this one is ${operation.state}.`,
        );
      }
      if (!newest) throw new InvalidStateError('Only the newest operation of a tenant can be cancelled.');
      if (operation.state === 'FAILED' && operation.cancelling) return transaction.reopen(operation);
      if (operation.cancelling) throw new InvalidStateError('The operation is being cancelled already.');
      return transaction.cancel(operation);
    });
  }

  return { find, list, retry, cancel };
}
