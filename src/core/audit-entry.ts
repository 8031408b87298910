import type { ErrorCode } from './errors.ts';
import type { Actor } from './model.ts';

export const auditActions = [
  'CREATE_TENANT',
  'UPDATE_TENANT',
  'SUSPEND_TENANT',
  'RESUME_TENANT',
  'DELETE_TENANT',
  'RESTORE_TENANT',
  'RETRY_OPERATION',
  'CANCEL_OPERATION',
  'TAKE_LEASE',
  'RELEASE_LEASE',
] as const;
/** A kind of change. */
export type AuditAction = (typeof auditActions)[number];

/** What was changed, without who did it. */
export interface AuditedChange {
  readonly action: AuditAction;
  readonly tenantId: string | null;
  /** The operation that the change started, or that it was about. */
  readonly operationId: string | null;
  /** The names of the fields that an update changed; never their values. */
  readonly fields: readonly string[];
}

/** A change that was refused, and the code of the error. */
export interface Refusal extends Omit<AuditedChange, 'fields'> {
  readonly actor: Actor;
  readonly leaseId: string | null;
  readonly result: ErrorCode;
}

/** What the log holds of one change. */
export interface AuditEntry extends AuditedChange, Actor {
  /** Digits, without a leading zero. */
  readonly id: string;
  readonly leaseId: string | null;
  readonly result: 'OK' | ErrorCode;
  readonly createdAt: Date;
}
