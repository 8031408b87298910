import type { ServerUnaryCall } from '@grpc/grpc-js';
import type { Authenticate } from '../core/core.ts';
import { ForbiddenError } from '../core/errors.ts';
import { type Caller, type Principal, type Role, roleIncludes } from '../core/model.ts';
import { certifiedCaller } from './client-certificate.ts';

/** What a call says of who makes it. */
export type Credentials = Pick<ServerUnaryCall<unknown, unknown>, 'metadata' | 'getAuthContext'>;

/** The least role that a method needs; `open` ones ask for no token. Whatever is not here is refused. */
const access: ReadonlyMap<string, Role | 'open'> = new Map([
  ['/tenant.v1.TenantService/CreateTenant', 'editor'],
  ['/tenant.v1.TenantService/GetTenant', 'viewer'],
  // A change of status needs an admin; whether there is one, core sees under the tenant's lock.
  ['/tenant.v1.TenantService/UpdateTenant', 'editor'],
  ['/tenant.v1.TenantService/DeleteTenant', 'admin'],
  // Deleted tenants are for admins alone, here and when watching; their handlers see to it.
  ['/tenant.v1.TenantService/ListTenants', 'viewer'],
  ['/tenant.v1.TenantService/RestoreTenant', 'admin'],
  ['/tenant.v1.TenantService/RetryOperation', 'editor'],
  ['/tenant.v1.TenantService/CancelOperation', 'editor'],
  ['/tenant.v1.TenantService/WatchProvisioning', 'viewer'],
  ['/connectionpool.ConnectionPoolService/GetConnection', 'admin'],
  ['/connectionpool.ConnectionPoolService/ReleaseConnection', 'admin'],
  ['/connectionpool.ConnectionPoolService/GetPoolStats', 'admin'],
  ['/grpc.health.v1.Health/Check', 'open'],
  ['/grpc.health.v1.Health/List', 'open'],
  ['/grpc.health.v1.Health/Watch', 'open'],
]);

/** Who calls an open method: nobody, with nothing but a viewer's rights. */
export const anybody: Caller = { subject: 'anonymous', role: 'viewer', expiresAt: Infinity };

/** Who makes a call. A token wins over a certificate. @throws {UnauthenticatedError} */
export async function identify(call: Credentials, authenticate: Authenticate): Promise<Caller> {
  const authorization = call.metadata.get('authorization')[0]?.toString();
  const certified =
    authorization === undefined ? certifiedCaller(call.getAuthContext().sslPeerCertificate) : null;
  return certified ?? authenticate(authorization);
}

/** Whether a method (a full path, `/package.Service/Method`) asks nobody who they are. */
export function isOpen(method: string): boolean {
  return access.get(method) === 'open';
}

/** @throws {ForbiddenError} when the caller may not call the method */
export function admit(method: string, caller: Caller): void {
  const needed = access.get(method);
  if (needed === undefined) throw new ForbiddenError('Nobody may call this method.');
  if (needed !== 'open') requireRole(caller, needed, 'This call');
}

/** @throws {ForbiddenError} `what` begins its message */
export function requireRole({ role }: Principal, needed: Role, what: string): void {
  if (roleIncludes(role, needed)) return;
  throw new ForbiddenError(`${what} needs the role ${needed}; the token's role is ${role}.`);
}
