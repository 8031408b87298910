import type { SqlSession } from '../core/ports.ts';
import type { TenantMigrations } from './tenant-migrations.ts';
import type { TenantNames } from './tenant-names.ts';

/** What a step works with; everything in it is of one tenant. */
export interface StepContext {
  /** Statements in the transaction that also records the step. */
  readonly sql: SqlSession;
  readonly tenantId: string;
  readonly names: TenantNames;
  /** What this registry writes on the roles and schemas of the tenant, and on nobody else's. */
  readonly mark: string;
  readonly migrations: TenantMigrations;
  /** The password of the tenant's `…_app` role; made and stored, sealed, when there is none. */
  password(): Promise<string>;
  /** Runs `work` in a session of its own, logged in as the tenant's `…_app` role. */
  login(work: (session: SqlSession) => Promise<void>): Promise<void>;
}

/**
 * A unit of an operation. It may be run again at any time: `probe` says whether there is nothing left to do, `apply`
 * does it, `verify` throws unless it is so.
 */
export interface Step {
  probe(context: StepContext): Promise<boolean>;
  apply(context: StepContext): Promise<void>;
  verify?(context: StepContext): Promise<void>;
}

/** Trying again would end the same way; the message is for the operation's `error`. */
export class PermanentStepError extends Error {}
