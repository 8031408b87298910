import { InvalidStateError, NotFoundError } from './errors.ts';
import type { Operation, OperationState, Tenant, TenantStatus } from './model.ts';

/** What decides whether somebody may work in a tenant's schema. */
export interface AccessFacts extends Pick<Tenant, 'status' | 'deletedAt'> {
  /** The tenant's newest one. */
  readonly operation: Pick<Operation, 'kind' | 'state'> | null;
}

const unfinished = 'is not finished; wait for its end and try again';
const refusalByState: Readonly<Record<OperationState, string | null>> = {
  PENDING: unfinished,
  RUNNING: unfinished,
  // It may have done half of its work.
  FAILED: 'failed; retry it or cancel it, and try again',
  SUCCEEDED: null,
  CANCELLED: null,
};

const refusalByStatus: Readonly<Record<TenantStatus, string | null>> = {
  PROVISIONING: 'is not provisioned; wait until it is active',
  ACTIVE: null,
  INACTIVE: 'is suspended; resume it first',
  ERROR: 'was not provisioned; delete it, or mend it first',
};

/**
 * Refuses whoever wants to work in the schema of a tenant that is not up, or is about to change: a suspension counts from
 * its acceptance on. A migration leaves the logins as they are, and so nobody is refused for it.
 * @throws {NotFoundError} when there is no such tenant, or it is deleted
 * @throws {InvalidStateError}
 */
export function requireAccess<T extends AccessFacts>(tenant: T | null): asserts tenant is T {
  if (tenant === null || tenant.deletedAt !== null) throw new NotFoundError('tenant');
  const { status, operation } = tenant;
  if (operation !== null && operation.kind !== 'MIGRATE') {
    const refusal = refusalByState[operation.state];
    if (refusal !== null) throw new InvalidStateError(`The tenant's ${operation.kind} operation ${refusal}.`);
  }
  const refusal = refusalByStatus[status];
  if (refusal !== null) throw new InvalidStateError(`The tenant ${refusal}.`);
}
