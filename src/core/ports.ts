import type { AuditedChange } from './audit-entry.ts';
import type { Position, TenantOrder } from './cursor.ts';
import type {
  Actor,
  Lease,
  Operation,
  ProvisioningEvent,
  StepStatus,
  Tenant,
  TenantStatus,
} from './model.ts';
import type { StartableKind, StepName } from './operation-steps.ts';
import type { AccessFacts } from './tenant-access.ts';
import type { TenantFilter } from './validation.ts';

/**
 * What the domain needs from outside; `db`, `events` and `workers` provide it, `app.ts` joins them. Every method
 * throws `UnavailableError` when the database cannot be reached.
 */
export interface Registry {
  /**
   * Stores tenant, operation, steps, first event, job, audit entry and idempotency key in one statement.
   * @throws {SubdomainTakenError}
   * @throws {IdempotencyKeyUsedError} when another request with the key came first
   */
  create(tenant: NewTenant): Promise<StartedOperation>;
  /** The tenant as it is now, live or deleted. Goes on when somebody leaves, since others may wait with him. */
  find(id: string): Promise<Tenant | null>;
  /** The live tenant with this subdomain, as it is now, in the same way. */
  findBySubdomain(subdomain: string): Promise<Tenant | null>;
  /**
   * A page of tenants. `selection` names what the caller's API layer wants of them beside their columns and the newest
   * operations, and is opaque here; null: nothing.
   */
  list(query: TenantQuery, selection: object | null): Promise<TenantPage>;
  /** What {@link TenantPage.revision} would be now, in the same way. */
  revision(query: TenantQuery): Promise<string | null>;
  findOperation(id: string): Promise<Operation | null>;
  listOperations(tenantId: string, page: Page, selection: object): Promise<Operation[]>;
  findIdempotencyKey(subject: string, key: string): Promise<{ inputHash: string; tenantId: string } | null>;
  transaction<T>(work: (transaction: RegistryTransaction) => Promise<T>): Promise<T>;
}

export interface RegistryTransaction {
  /** Locks the tenant until the transaction ends; deleted ones too. */
  lock(id: string): Promise<Tenant | null>;
  /** The address of the tenant's contact, in the clear. @throws {SealedValueError} when it does not open */
  contactEmail(id: string): Promise<string>;
  /** @throws {SubdomainTakenError} */
  update(id: string, changes: TenantChanges): Promise<Tenant>;
  /** Hides the tenant from now on and frees its subdomain. */
  delete(id: string): Promise<Tenant>;
  /** @throws {SubdomainTakenError} */
  restore(id: string): Promise<Tenant>;
  isSubdomainTaken(subdomain: string, exceptId: string): Promise<boolean>;
  unfinishedOperation(tenantId: string): Promise<Operation | null>;
  lockOperation(id: string): Promise<Operation | null>;
  /** Stores an operation with its steps, first event and job, and makes it the tenant's newest. */
  start(tenantId: string, kind: StartableKind): Promise<StartedOperation>;
  /** Ends an unfinished operation as CANCELLED at once, nothing undone; whoever runs it is fenced off. */
  abandon(operation: Operation): Promise<ProvisioningEvent>;
  /** Makes the operation PENDING again, to be undone by a worker; whoever runs it is fenced off. */
  cancel(operation: Operation): Promise<StartedOperation>;
  /** Makes a failed operation PENDING again, from its failed step on, in the direction that it went. */
  reopen(operation: Operation): Promise<StartedOperation>;
  /** Writes into the audit log who makes this change. */
  audit(actor: Actor, change: AuditedChange): Promise<void>;
}

export interface NewTenant {
  readonly id: string;
  readonly name: string;
  readonly subdomain: string;
  readonly contactEmail: string;
  readonly tier: string;
  /** Who creates it; an idempotency key is the subject's. */
  readonly actor: Actor;
  readonly idempotency: { readonly key: string; readonly inputHash: string } | null;
}

export interface TenantChanges {
  readonly name?: string;
  readonly subdomain?: string;
  readonly contactEmail?: string;
  readonly tier?: string;
}

export interface StartedOperation {
  readonly tenant: Tenant;
  readonly operation: Operation;
  readonly event: ProvisioningEvent;
}

/** A keyset page: up to `limit` rows behind `after` and before `before`; `inverted` reads from the end. */
export interface Page {
  readonly after: Position | null;
  readonly before: Position | null;
  readonly limit: number;
  readonly inverted: boolean;
}

export interface TenantQuery extends Page {
  readonly filter: TenantFilter;
  readonly order: TenantOrder;
}

export interface TenantPage {
  /** Without a selection each has its newest operation with it, of the same snapshot, as `operation`. */
  readonly tenants: Tenant[];
  /**
   * The same text for the same query as long as the page holds the same tenants, with the same operations, in the same
   * state; null when it was not only made of these.
   */
  readonly revision: string | null;
}

/** A place in the history of all tenants. */
export type EventPosition = Pick<ProvisioningEvent, 'createdAt' | 'tenantId' | 'sequence'>;

/** The history of events, from the database. */
export interface EventHistory {
  /**
   * Up to `limit` events of the tenant behind `after`, and whether it has an unfinished operation, both of one
   * snapshot.
   */
  after(
    tenantId: string,
    after: number,
    limit: number,
  ): Promise<{ events: ProvisioningEvent[]; unfinished: boolean }>;
  /** Up to `limit` events written behind `from`, oldest first; of `tenantIds` alone when given. */
  since(
    from: EventPosition,
    tenantIds: readonly string[] | null,
    limit: number,
  ): Promise<ProvisioningEvent[]>;
  /** The database's time. */
  clock(): Promise<Date>;
}

/** What passes live, a hint only: it may lose or repeat events, never invent them. */
export interface EventFeed {
  /** Tells every process that these events were committed. Never throws: the history is the truth. */
  publish(events: readonly ProvisioningEvent[]): void;
  /** Calls the listener until the answered function is called. */
  subscribe(listener: FeedListener): () => void;
}

export interface FeedListener {
  event(event: ProvisioningEvent): void;
  /** Events may have been lost: the history must be read again. */
  resync(): void;
}

/** Thrown by `Registry.create` when the idempotency key was taken by a request that ran beside it. */
export class IdempotencyKeyUsedError extends Error {}

/** An operation in the hands of a runner; its `fence` proves it. */
export interface TakenOperation {
  readonly operation: Operation;
  /** How far the tenant's schema is. */
  readonly schemaVersion: number;
  /** The tenant's, which only its operations change. */
  readonly tenantStatus: TenantStatus;
  /**
   * What watchers were told last. The journal keeps it: as long as the fence holds, nobody else tells them anything, nor
   * changes the status.
   */
  told: { readonly sequence: number; readonly tenantStatus: TenantStatus };
  /** It has been tried for so long that it is to be given up. */
  readonly overdue: boolean;
  readonly steps: readonly TakenStep[];
}

export interface TakenStep {
  /** Counts from 0; the steps come in its order. */
  readonly position: number;
  readonly name: StepName;
  readonly status: StepStatus;
}

/** Statements in one transaction, or of one session. */
export interface SqlSession {
  query(sql: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>;
}

/** Statements in a transaction on a connection that others use afterwards. */
export interface SharedSession extends SqlSession {
  /** Sends a statement along with what comes next: nobody needs its answer, and when it fails, so does the transaction. */
  send(sql: string, values?: readonly unknown[]): void;
  /**
   * Takes back what a user's SQL, or the role for it, may have left on the connection: role, settings, temporary tables,
   * locks of the session. Sent along with what comes next, too.
   */
  reset(): void;
}

/** What is done in a transaction that also records it. */
export type RecordedWork = (sql: SharedSession, news: WorkNews) => Promise<void>;

/** What the record of some work says beside that it was done. */
export interface WorkNews {
  /** Tells watchers of a part of it; they hear of it when the transaction is committed. */
  note(message: string): void;
  /** The tenant's status from now on. */
  setTenantStatus(status: TenantStatus): void;
  /** How far the tenant's schema is from now on. */
  setSchemaVersion(version: number): void;
}

/**
 * What runners write of their operations, an event with each. Everything but `take`, `during`, `renew` and `revive`
 * checks the fence and throws `FencedOffError` when it is lost.
 */
export interface OperationJournal {
  /** Takes the operation when it is unfinished, due, and under nobody's lease; else null. */
  take(operationId: string): Promise<TakenOperation | null>;
  /** Runs `work`, in which all transactions of the operation are made on one connection, one after the other. */
  during(taken: TakenOperation, work: () => Promise<void>): Promise<void>;
  /** Lengthens the lease; false when the operation is lost. */
  renew(taken: TakenOperation): Promise<boolean>;
  /** The step is IN_PROGRESS: a transaction of its own, so that watchers see it. */
  begin(taken: TakenOperation, position: number): Promise<ProvisioningEvent>;
  /** Runs a part of a step, which notes a line at least; the step stays IN_PROGRESS: one transaction. */
  advance(taken: TakenOperation, position: number, work: RecordedWork): Promise<readonly ProvisioningEvent[]>;
  /**
   * Runs `work`, marks the step SUCCESS, and the step `next` IN_PROGRESS or, when that is null, the operation SUCCEEDED:
   * one transaction.
   */
  perform(
    taken: TakenOperation,
    position: number,
    next: number | null,
    work: RecordedWork,
  ): Promise<readonly ProvisioningEvent[]>;
  /** Runs `work`, marks the step PENDING, as if it had never been run, and begins to undo `next`: one transaction. */
  undo(
    taken: TakenOperation,
    position: number,
    next: number | null,
    work: RecordedWork,
  ): Promise<readonly ProvisioningEvent[]>;
  /** Ends the operation as CANCELLED; a tenant that it was bringing up is deleted with that. */
  finishCancelling(taken: TakenOperation): Promise<ProvisioningEvent>;
  /** Marks the step FAILED; the operation waits for `retryInMs`, or is FAILED for good when that is null. */
  fail(
    taken: TakenOperation,
    position: number,
    reason: string,
    retryInMs: number | null,
  ): Promise<ProvisioningEvent>;
  /** Queues the operations again whose runner is silent for longer than its lease. @returns how many */
  revive(): Promise<number>;
}

/** The operation was taken over, cancelled or finished by somebody else. */
export class FencedOffError extends Error {}

/** The leases of the registry, in one database for all processes. */
export interface LeaseStore {
  /**
   * Takes a slot of the tenant and opens its login, in one transaction under the tenant's lock. `slotFor` says which
   * one, counted from 1, or throws; null is a tenant that never was.
   */
  take(lease: NewLease, slotFor: (tenant: LeasedTenant | null) => number): Promise<LeasedLogin>;
  /**
   * Forbids the login, ends its sessions, and marks the lease as ended, in this order; `mayEnd` throws when that must not be.
   * `by` is who asks for it, which the audit log keeps; a lease whose time is over has nobody.
   * @returns false when there is no such lease, or it has ended
   */
  end(id: string, by?: { readonly actor: Actor; readonly mayEnd: (lease: Lease) => void }): Promise<boolean>;
  /** The leases whose time is over, the oldest first; a bounded number. */
  expired(): Promise<readonly string[]>;
  /** Removes the leases that have ended and whose slots have rested. */
  forget(): Promise<void>;
  /**
   * Ends the sessions that outlived their lease: one that was just logging in when it ended is not seen then.
   * @returns how many
   */
  endStrays(): Promise<number>;
  /** How many leases a tenant has. */
  count(tenantId: string): Promise<number>;
}

export interface NewLease extends Omit<Lease, 'subject'> {
  readonly actor: Actor;
  /** ASCII. */
  readonly password: string;
  /** Milliseconds. */
  readonly durationMs: number;
}

/** A tenant of which a lease is asked for. */
export interface LeasedTenant extends AccessFacts, Pick<Tenant, 'tier'> {
  /** How many leases it has. */
  readonly leases: number;
  /** The slots that are not free, because they are taken or rest, in order. */
  readonly slots: readonly number[];
}

export interface LeasedLogin {
  readonly username: string;
  readonly schema: string;
  readonly expiresAt: Date;
}

/** The slot of a lease. */
export interface LeaseSlot {
  readonly tenantId: string;
  readonly slot: number;
}

/** What a lease does to the roles on the server; each in a transaction that holds the slot for itself. */
export interface LeaseRoles {
  /** Runs a transaction with them, and once more when the right to administer them was given back in the middle of it. */
  againIfDenied<T>(work: () => Promise<T>): Promise<T>;
  /**
   * `opening` is SQL that lets in who knows the password, until `expiresAt` and once at a time, and makes the role when
   * there is none.
   * @throws {InvalidStateError} when a role of that name is somebody else's
   */
  open(
    sql: SqlSession,
    login: LeaseSlot & { readonly password: string; readonly expiresAt: Date },
  ): Promise<Pick<LeasedLogin, 'username' | 'schema'> & { readonly opening: string }>;
  /** SQL that lets nobody in any more; null when nobody is let in. */
  close(sql: SqlSession, slot: LeaseSlot): Promise<string | null>;
  /** Ends who is logged in. @throws when a session does not end */
  endSessions(sql: SqlSession, slot: LeaseSlot): Promise<void>;
  /** Ends the sessions of slots that nobody has. @returns how many */
  endStrays(sql: SqlSession): Promise<number>;
}

/** How many objects a second each subject may ask for, of all processes together as far as they know of each other. */
export interface RateLimit {
  /** Counts `objects`. Never rejects. @returns the milliseconds after which to try again; 0 when there were enough */
  take(subject: string, objects: number): Promise<number>;
}
