import type { OperationKind } from './model.ts';

/** What each kind of operation does, in order; a cancelled one is undone in reverse. Every step may be run again at any time. */
export const operationSteps = {
  PROVISION: ['create_role', 'create_schema', 'apply_migrations', 'verify_isolation', 'activate'],
  SUSPEND: ['revoke_access', 'end_sessions', 'deactivate'],
  RESUME: ['end_sessions', 'grant_access', 'activate'],
  DELETE: ['revoke_access', 'end_sessions'],
  RESTORE: ['end_sessions', 'restore_access', 'update_schema', 'verify_isolation'],
} as const satisfies Partial<Record<OperationKind, readonly string[]>>;

/** The kinds that can be started. */
export type StartableKind = keyof typeof operationSteps;
export type StepName = (typeof operationSteps)[StartableKind][number];
