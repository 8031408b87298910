import type { Audit } from './audit.ts';
import type { Leases } from './leases.ts';
import type { Caller } from './model.ts';
import type { Operations } from './operations.ts';
import type { Tenants } from './tenants.ts';
import type { Watch } from './watch.ts';

/** What both faces of the service, GraphQL and gRPC, are made of. */
export interface Core {
  readonly tenants: Tenants;
  readonly operations: Operations;
  readonly watch: Watch;
  readonly leases: Leases;
  readonly audit: Audit;
}

/**
 * Who sends this `authorization` header; at once when that is known.
 * @throws {UnauthenticatedError} when there is none, or it is not to be believed
 * @throws {KeysUnavailableError} when that cannot be found out now
 */
export type Authenticate = (authorization: string | undefined) => Caller | Promise<Caller>;
