import type { TenantStatus } from '../core/model.ts';
import type { SharedSession, SqlSession, WorkNews } from '../core/ports.ts';
import type { RoleAdmin } from './role-admin.ts';
import type { TenantMigrations } from './tenant-migrations.ts';
import type { TenantNames } from './tenant-names.ts';

/** The tenant that a step works on. */
export interface StepTarget {
  readonly registryId: string;
  readonly tenantId: string;
  readonly names: TenantNames;
  /** What this registry writes on the roles and schemas of the tenant, and on nobody else's. */
  readonly mark: string;
  readonly migrations: TenantMigrations;
  /** The tenant's status and how far its schema is, both as of when its operation was taken. */
  readonly tenantStatus: TenantStatus;
  readonly schemaVersion: number;
}

/** What a step works with in the transaction that also records it. */
export interface StepContext extends StepTarget, WorkNews {
  readonly sql: SharedSession;
  /** Who administers the tenant's roles, which are there. */
  roleAdmin(): Promise<RoleAdmin>;
  /** Who is to administer them from now on. */
  chooseRoleAdmin(): Promise<RoleAdmin>;
  /** The password of the tenant's `…_app` role; made and stored, sealed, when there is none. */
  password(): Promise<string>;
  /** Runs `work` in a session of its own, logged in as the tenant's `…_app` role. */
  login(work: (session: SqlSession) => Promise<void>): Promise<void>;
}

/** What a step works with before that transaction. */
export interface PreparationContext extends StepTarget {
  /** Runs a part of the step in a transaction of its own, which must `note` something. */
  transaction(work: (context: StepContext) => Promise<void>): Promise<void>;
  /** Runs `work` in a session of its own, outside of a transaction, as the service's role. */
  session(work: (session: SqlSession) => Promise<void>): Promise<void>;
}

/**
 * A unit of an operation. It may be run again at any time: `probe` says whether there is nothing left to do, `apply`
 * does it, `verify` throws unless it is so; all in one transaction, with the record of it.
 */
export interface Step {
  /** Parts that cannot be in the step's transaction. They are committed one by one, and come before `probe`. */
  prepare?(context: PreparationContext): Promise<void>;
  probe(context: StepContext): Promise<boolean>;
  apply(context: StepContext): Promise<void>;
  verify?(context: StepContext): Promise<void>;
  /** Takes back what the step did, all or some of it or nothing, when its operation is cancelled. */
  undo?(context: StepContext): Promise<void>;
  /** How long it may take, milliseconds, when that is longer than usual. */
  readonly limitMs?: number;
  /** Whether it must be run again though it succeeded: the operation has waited, and what it was to do is more now. */
  isStale?(tenant: { readonly schemaVersion: number }, migrations: TenantMigrations): boolean;
}

/** A step failed for a reason of ours; the message is for the operation's `error`, which every viewer may read. */
export class StepError extends Error {}

/** Trying again would end the same way. */
export class PermanentStepError extends StepError {}
