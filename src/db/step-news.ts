import type { StepStatus, TenantStatus } from '../core/model.ts';
import type { TakenOperation } from '../core/ports.ts';

/** What is recorded of an operation. */
export interface News {
  /** Of the operation, from now on. */
  readonly state: 'PENDING' | 'RUNNING' | 'SUCCEEDED' | 'FAILED';
  readonly news: readonly StepNews[];
  readonly tenant?: TenantChanges;
  /** Why a step failed. */
  readonly error?: string | null;
  readonly retryInMs?: number | null;
}

/** What changes of the tenant itself. */
export interface TenantChanges {
  status?: TenantStatus;
  schemaVersion?: number;
}

/** What an event tells of a step; what its last news says is the step's status. */
export interface StepNews {
  readonly position: number;
  readonly status: StepStatus;
  readonly message: string | null;
}

/** A step begins. */
export function begun({ operation }: TakenOperation, position: number): StepNews {
  return { position, status: 'IN_PROGRESS', message: operation.cancelling ? 'undoing' : null };
}

/** A step is under way, and has something to say. */
export function parts(position: number, messages: readonly string[]): StepNews[] {
  return messages.map((message) => ({ position, status: 'IN_PROGRESS', message }));
}
