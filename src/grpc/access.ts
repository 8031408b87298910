import type { ServerUnaryCall } from '@grpc/grpc-js';
import type { Attempt } from '../core/audit.ts';
import type { AuditAction } from '../core/audit-entry.ts';
import type { Authenticate } from '../core/core.ts';
import { ForbiddenError } from '../core/errors.ts';
import { type Caller, type Principal, type Role, roleIncludes } from '../core/model.ts';
import { certifiedCaller } from './client-certificate.ts';

/** What a call says of who makes it. */
export type Credentials = Pick<ServerUnaryCall<unknown, unknown>, 'metadata' | 'getAuthContext'>;

/** What a method does, and where its requests name to what. */
type AuditedMethod = readonly [
  action: AuditAction,
  target?: Exclude<keyof Attempt, 'action'>,
  field?: string,
];

interface Method {
  /** The least role that it needs; `open` ones ask nobody who they are. */
  readonly needs: Role | 'open';
  /** What it changes, for the audit log: whoever adds a method has to say so. */
  readonly change: AuditedMethod | null;
}

const open: Method = { needs: 'open', change: null };
const reading = (needs: Role): Method => ({ needs, change: null });
const changing = (needs: Role, ...change: AuditedMethod): Method => ({ needs, change });

/** Whatever is not here is refused. */
const methods: ReadonlyMap<string, Method> = new Map([
  ['/tenant.v1.TenantService/CreateTenant', changing('editor', 'CREATE_TENANT')],
  ['/tenant.v1.TenantService/GetTenant', reading('viewer')],
  // A change of status needs an admin; whether there is one, core sees under the tenant's lock. Of what was refused the log
  // says UPDATE_TENANT, whatever it was to be.
  ['/tenant.v1.TenantService/UpdateTenant', changing('editor', 'UPDATE_TENANT', 'tenantId', 'id')],
  ['/tenant.v1.TenantService/DeleteTenant', changing('admin', 'DELETE_TENANT', 'tenantId', 'id')],
  // Deleted tenants are for admins alone, here and when watching; their handlers see to it.
  ['/tenant.v1.TenantService/ListTenants', reading('viewer')],
  ['/tenant.v1.TenantService/RestoreTenant', changing('admin', 'RESTORE_TENANT', 'tenantId', 'id')],
  ['/tenant.v1.TenantService/RetryOperation', changing('editor', 'RETRY_OPERATION', 'operationId', 'id')],
  ['/tenant.v1.TenantService/CancelOperation', changing('editor', 'CANCEL_OPERATION', 'operationId', 'id')],
  ['/tenant.v1.TenantService/WatchProvisioning', reading('viewer')],
  [
    '/connectionpool.ConnectionPoolService/GetConnection',
    changing('admin', 'TAKE_LEASE', 'tenantId', 'tenantId'),
  ],
  [
    '/connectionpool.ConnectionPoolService/ReleaseConnection',
    changing('admin', 'RELEASE_LEASE', 'leaseId', 'connectionId'),
  ],
  ['/connectionpool.ConnectionPoolService/GetPoolStats', reading('admin')],
  ['/grpc.health.v1.Health/Check', open],
  ['/grpc.health.v1.Health/List', open],
  ['/grpc.health.v1.Health/Watch', open],
]);

/** Who calls an open method: nobody in particular, with nothing but a viewer's rights. */
export const nobody: Caller = { subject: 'anonymous', role: 'viewer', expiresAt: Infinity };

/** Who makes a call. A token wins over a certificate. @throws {UnauthenticatedError} */
export function identify(call: Credentials, authenticate: Authenticate): Caller | Promise<Caller> {
  const authorization = call.metadata.get('authorization')[0]?.toString();
  const certified =
    authorization === undefined ? certifiedCaller(call.getAuthContext().sslPeerCertificate) : null;
  return certified ?? authenticate(authorization);
}

/** Whether a method (a full path, `/package.Service/Method`) asks nobody who they are. */
export function isOpen(method: string): boolean {
  return methods.get(method)?.needs === 'open';
}

/** @throws {ForbiddenError} when the caller may not call the method */
export function admit(method: string, caller: Caller): void {
  const needed = methods.get(method)?.needs;
  if (needed === undefined) throw new ForbiddenError('Nobody may call this method.');
  if (needed !== 'open') requireRole(caller, needed, 'This call');
}

/** What a call tries to change; null when its method changes nothing. */
export function attemptOf(method: string, request: unknown): Attempt | null {
  const change = methods.get(method)?.change;
  if (change == null) return null;
  const [action, target, field] = change;
  const named = typeof request === 'object' && request !== null && field !== undefined;
  return target === undefined || !named ? { action } : { action, [target]: Reflect.get(request, field) };
}

/** @throws {ForbiddenError} `what` begins its message */
export function requireRole({ role }: Principal, needed: Role, what: string): void {
  if (roleIncludes(role, needed)) return;
  throw new ForbiddenError(`${what} needs the role ${needed}; your role is ${role}.`);
}
