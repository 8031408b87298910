import type { AccountReader } from './tenant-account.ts';
import type { Connection } from './tenant-connections.ts';
import type { Party } from './turns.ts';

/** A tenant that somebody works in, or has lately worked in. */
export interface Tenant extends Party {
  readonly role: string;
  readonly account: AccountReader;
  /** In the hands of borrowers. */
  readonly borrowed: Set<Connection>;
  max: number;
  lent: number;
  /** Calls of `withTenant` that are under way. */
  callers: number;
  /** Grows when its access may have changed: connections from before are not lent again. */
  suspicions: number;
}

/** A connection, and the tenant's suspicions when it was asked for. */
export interface Borrowed {
  readonly connection: Connection;
  readonly suspicions: number;
}

/** How the connections of a tenant, or of all of them, are used. */
export interface PoolCounts {
  /** Lent, or being opened for somebody. */
  readonly active: number;
  readonly idle: number;
  /** Borrowers that have no connection yet. */
  readonly waiting: number;
}

export function countsOf({ lent, connections, waiters }: Tenant): PoolCounts {
  return { active: lent, idle: connections.idle, waiting: waiters.size };
}
