import { InvalidStateError, NotFoundError } from './errors.ts';
import type { OperationKind, OperationState, Tenant } from './model.ts';

/** What decides whether somebody may work in a tenant's schema. */
export interface AccessFacts extends Pick<Tenant, 'status' | 'deletedAt'> {
  /** The tenant's newest operation. */
  readonly operation: { readonly kind: OperationKind; readonly state: OperationState };
}

/**
 * Refuses whoever wants to work in the schema of a tenant that is not active, or is about to be so no more: a suspension
 * counts from its acceptance on. While one has failed, and while a tenant is being restored, the login may be shut.
 * @throws {NotFoundError} when there is no such tenant, or it is deleted
 * @throws {InvalidStateError}
 */
export function requireAccess<T extends AccessFacts>(tenant: T | null): asserts tenant is T {
  if (tenant === null || tenant.deletedAt !== null) throw new NotFoundError('tenant');
  const { status, operation } = tenant;
  if (status === 'INACTIVE') throw new InvalidStateError('The tenant is suspended; resume it first.');
  const ended = operation.state === 'SUCCEEDED' || operation.state === 'CANCELLED';
  if (status !== 'ACTIVE' || (!ended && operation.kind !== 'MIGRATE')) {
    throw new InvalidStateError(
      `The tenant is ${status.toLowerCase()} and its ${operation.kind} operation is ${operation.state}; wait until it has succeeded, or mend it.`,
    );
  }
}
