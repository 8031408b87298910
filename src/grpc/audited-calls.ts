import type { Attempt } from '../core/audit.ts';
import type { AuditAction } from '../core/audit-entry.ts';
import type { Origin } from '../core/model.ts';
import { originOf } from '../core/origin.ts';

/** What a request's id is the id of. */
type Target = Exclude<keyof Attempt, 'action'>;

/** The methods that change something: what they do, and where their requests name to what. */
const changes: ReadonlyMap<string, readonly [AuditAction, target?: Target, field?: string]> = new Map([
  ['/tenant.v1.TenantService/CreateTenant', ['CREATE_TENANT']],
  // What was refused may have been a change of status; that is told only of those that were made.
  ['/tenant.v1.TenantService/UpdateTenant', ['UPDATE_TENANT', 'tenantId', 'id']],
  ['/tenant.v1.TenantService/DeleteTenant', ['DELETE_TENANT', 'tenantId', 'id']],
  ['/tenant.v1.TenantService/RestoreTenant', ['RESTORE_TENANT', 'tenantId', 'id']],
  ['/tenant.v1.TenantService/RetryOperation', ['RETRY_OPERATION', 'operationId', 'id']],
  ['/tenant.v1.TenantService/CancelOperation', ['CANCEL_OPERATION', 'operationId', 'id']],
  ['/connectionpool.ConnectionPoolService/GetConnection', ['TAKE_LEASE', 'tenantId', 'tenantId']],
  ['/connectionpool.ConnectionPoolService/ReleaseConnection', ['RELEASE_LEASE', 'leaseId', 'connectionId']],
]);

/** What a call tries to change; null when its method (a full path) changes nothing. */
export function attemptOf(method: string, request: unknown): Attempt | null {
  const change = changes.get(method);
  if (change === undefined) return null;
  const [action, target, field] = change;
  const named = typeof request === 'object' && request !== null && field !== undefined;
  return target === undefined || !named ? { action } : { action, [target]: Reflect.get(request, field) };
}

/** Where a call comes from; `peer` is grpc-js's `address:port`. */
export function originOfPeer(peer: string): Origin {
  return originOf('GRPC', peer.replace(/:\d+$/, ''));
}
