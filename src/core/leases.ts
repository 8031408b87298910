import { randomBytes, randomUUID } from 'node:crypto';
import { z } from 'zod';
import { type DatabaseAddress, type DatabaseEndpoint, namesDatabase } from './dsn.ts';
import { ForbiddenError, LimitExceededError, NotFoundError } from './errors.ts';
import type { Actor, Lease, Tenant, TenantPoolUsage } from './model.ts';
import type { LeasedLogin, LeasedTenant, LeaseStore } from './ports.ts';
import { requireAccess } from './tenant-access.ts';
import type { TenantCache } from './tenant-cache.ts';
import { parse, uuid } from './validation.ts';

/** How many logins a tenant has at most for each lease that it may have: they rest between two leases. */
const slotsPerLease = 4;

export interface LeasesOptions {
  readonly store: LeaseStore;
  readonly cache: Pick<TenantCache, 'find'>;
  /** How many leases a tenant of this tier may have at once, and connections in one process. */
  readonly connectionsFor: (tier: string) => number;
  /** What this process's own pool has open into a tenant's schema. */
  readonly usage: (tenantId: string) => Pick<TenantPoolUsage, 'active' | 'idle' | 'waiting'>;
  /** The database that is leased, as callers may name it. */
  readonly server: DatabaseAddress;
  /** Where the holder of a lease connects to, and how. */
  readonly endpoint: DatabaseEndpoint;
  /** How long a lease lasts, milliseconds. */
  readonly durationMs: number;
}

/** All that it takes to connect. */
export interface LeasedConnection extends DatabaseEndpoint, LeasedLogin {
  readonly id: string;
  readonly password: string;
}

export type Leases = ReturnType<typeof createLeases>;

/** What callers do with leases: logins into a tenant's schema, for a while and for one connection each. */
export function createLeases(options: LeasesOptions) {
  const { store, cache, connectionsFor, usage, server, endpoint, durationMs } = options;
  const leaseRequest = z.object({
    tenantId: uuid,
    dsn: z
      .string('must be a string')
      .refine(
        (dsn) => dsn.trim() === '' || namesDatabase(dsn, server),
        "must be empty, or name the host, the port and the database of this service's own PostgreSQL",
      ),
  });

  /** The lowest slot that is free. */
  function slotFor(tenant: LeasedTenant | null): number {
    requireAccess(tenant);
    const { tier, leases, slots } = tenant;
    const cap = connectionsFor(tier);
    if (leases >= cap) {
      throw new LimitExceededError(
        `The tenant's tier allows ${cap} leases at once, and all are taken; release one, or wait until one expires.`,
      );
    }
    if (slots.length >= slotsPerLease * cap) {
      throw new LimitExceededError(
        `The tenant's leases follow each other so fast that none of its ${slotsPerLease * cap} logins is free; keep them for longer, or wait a minute or two.`,
      );
    }
    const gap = slots.findIndex((slot, index) => slot !== index + 1);
    return (gap === -1 ? slots.length : gap) + 1;
  }

  /**
   * Borrows a login.
   * @throws {ValidationError} {NotFoundError} {InvalidStateError} {LimitExceededError}
   */
  async function take(
    actor: Actor,
    request: { readonly tenantId: string; readonly dsn: string },
  ): Promise<LeasedConnection> {
    const { tenantId } = parse(leaseRequest, request);
    const id = randomUUID();
    const password = randomBytes(32).toString('base64url');
    const login = await store.take({ id, tenantId, actor, password, durationMs }, slotFor);
    return { id, password, ...login, ...endpoint };
  }

  /**
   * Gives a login back. Only who took it may: that others are admins too makes them no holders of it, and an id that is
   * mixed up must not cost somebody else the connection.
   * @throws {ValidationError} {ForbiddenError} {NotFoundError} also when it has ended before
   */
  async function release(actor: Actor, connectionId: string): Promise<void> {
    const { connectionId: id } = parse(z.object({ connectionId: uuid }), { connectionId });
    const mayEnd = ({ subject }: Lease) => {
      if (subject === actor.subject) return;
      throw new ForbiddenError('The lease belongs to another subject; only who took it may release it.');
    };
    if (!(await store.end(id, { actor, mayEnd }))) throw new NotFoundError('lease');
  }

  /** What a tenant has open, when it is known how many leases it has. */
  function usageOf({ id, tier }: Pick<Tenant, 'id' | 'tier'>, leases: number): TenantPoolUsage {
    const { active, idle, waiting } = usage(id);
    return { active, idle, waiting, max: connectionsFor(tier), leases };
  }

  /** What a tenant has open. @throws {ValidationError} {NotFoundError} */
  async function statistics(tenantId: string): Promise<TenantPoolUsage> {
    const { tenantId: id } = parse(z.object({ tenantId: uuid }), { tenantId });
    const [tenant, leases] = await Promise.all([cache.find(id), store.count(id)]);
    if (tenant === null || tenant.deletedAt !== null) throw new NotFoundError('tenant');
    return usageOf(tenant, leases);
  }

  return { take, release, usageOf, statistics };
}
