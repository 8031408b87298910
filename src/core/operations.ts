import { InvalidStateError, NotFoundError } from './errors.ts';
import type { Operation } from './model.ts';
import type { EventFeed, Page, Registry } from './ports.ts';
import type { TenantChange } from './tenants.ts';
import { parse, uuid } from './validation.ts';

export interface OperationsOptions {
  readonly registry: Registry;
  readonly feed: Pick<EventFeed, 'publish'>;
}

export type Operations = ReturnType<typeof createOperations>;

/** What callers do with operations. */
export function createOperations({ registry, feed }: OperationsOptions) {
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

  /**
   * Lets a failed operation go on at the step that failed.
   * @throws {ValidationError} {NotFoundError} {InvalidStateError} when it did not fail, or is not its tenant's newest
   */
  async function retry(id: string): Promise<TenantChange> {
    const { tenantId, id: operationId } = await known(id);
    const started = await registry.transaction(async (transaction) => {
      // Tenant first, operation second: the order in which everybody locks.
      const tenant = await transaction.lock(tenantId);
      const operation = await transaction.lockOperation(operationId);
      if (tenant === null || operation === null) throw new NotFoundError('operation');
      if (operation.state !== 'FAILED') {
        throw new InvalidStateError(
          `Only a failed operation can be retried; this one is ${operation.state}.`,
        );
      }
      if (tenant.operationId !== operationId) {
        throw new InvalidStateError('Only the newest operation of a tenant can be retried.');
      }
      return transaction.reopen(operation);
    });
    feed.publish([started.event]);
    return started;
  }

  /** @throws {ValidationError} {NotFoundError} {InvalidStateError} */
  async function cancel(id: string): Promise<TenantChange> {
    const operation = await known(id);
    throw new InvalidStateError(
      `A ${operation.kind} operation that is ${operation.state} cannot be cancelled; deleting the tenant ends what runs.`,
    );
  }

  return { find, list, retry, cancel };
}
