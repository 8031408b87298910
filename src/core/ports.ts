import type { Position, TenantOrder } from './cursor.ts';
import type { DeletedFilter, Operation, ProvisioningEvent, Tenant } from './model.ts';
import type { StartableKind, StepName } from './operation-steps.ts';
import type { TenantFilter } from './validation.ts';

/**
 * What the domain needs from outside; `db`, `events` and `workers` provide it, `app.ts` joins them. Every method
 * throws `UnavailableError` when the database cannot be reached.
 */
export interface Registry {
  /**
   * Stores tenant, operation, steps, first event, job and idempotency key in one statement.
   * @throws {SubdomainTakenError}
   * @throws {IdempotencyKeyUsedError} when another request with the key came first
   */
  create(tenant: NewTenant): Promise<StartedOperation>;
  find(id: string, deleted: DeletedFilter): Promise<Tenant | null>;
  findBySubdomain(subdomain: string): Promise<Tenant | null>;
  /** `selection` names the relations that the caller's API layer wants along; it is opaque here. */
  list(query: TenantQuery, selection: object): Promise<Tenant[]>;
  findOperation(id: string): Promise<Operation | null>;
  listOperations(tenantId: string, page: Page, selection: object): Promise<Operation[]>;
  findIdempotencyKey(subject: string, key: string): Promise<{ inputHash: string; tenantId: string } | null>;
  transaction<T>(work: (transaction: RegistryTransaction) => Promise<T>): Promise<T>;
}

export interface RegistryTransaction {
  /** Locks the tenant until the transaction ends; deleted ones too. */
  lock(id: string): Promise<Tenant | null>;
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
  /** Ends an unfinished operation as CANCELLED; whoever runs it is fenced off. */
  cancel(operation: Operation): Promise<ProvisioningEvent>;
  /** Makes a failed operation PENDING again, from its failed step on. */
  reopen(operation: Operation): Promise<StartedOperation>;
}

export interface NewTenant {
  readonly id: string;
  readonly name: string;
  readonly subdomain: string;
  readonly contactEmail: string;
  readonly tier: string;
  readonly idempotency: { readonly subject: string; readonly key: string; readonly inputHash: string } | null;
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
  /** In order; `position` counts from 0. */
  readonly steps: readonly { readonly position: number; readonly name: StepName; readonly done: boolean }[];
}

/** Statements in one transaction. */
export interface SqlSession {
  query(sql: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>;
}

/**
 * What runners write of their operations, an event with each. `begin`, `perform` and `fail` check the fence and throw
 * `FencedOffError` when it is lost.
 */
export interface OperationJournal {
  /** Takes the operation when it is unfinished, due, and under nobody's lease; else null. */
  take(operationId: string): Promise<TakenOperation | null>;
  /** Lengthens the lease; false when the operation is lost. */
  renew(taken: TakenOperation): Promise<boolean>;
  /** The step is IN_PROGRESS: a transaction of its own, so that watchers see it. */
  begin(taken: TakenOperation, position: number): Promise<ProvisioningEvent>;
  /** Runs `work`, marks the step SUCCESS and, behind the last one, the operation SUCCEEDED: one transaction. */
  perform(
    taken: TakenOperation,
    position: number,
    work: (sql: SqlSession) => Promise<void>,
  ): Promise<ProvisioningEvent>;
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
