import type { StepName } from '../../core/operation-steps.ts';
import type { Step } from '../step.ts';
import { endSessions, grantAccess, restoreAccess, revokeAccess } from './access.ts';
import { applyMigrations } from './apply-migrations.ts';
import { createRole } from './create-role.ts';
import { createSchema } from './create-schema.ts';
import { activate, deactivate } from './status.ts';
import { verifyIsolation } from './verify-isolation.ts';

/** What each name in `core/operation-steps.ts` does. */
export const steps: Readonly<Record<StepName, Step>> = {
  create_role: createRole,
  create_schema: createSchema,
  apply_migrations: applyMigrations,
  update_schema: applyMigrations,
  verify_isolation: verifyIsolation,
  activate,
  deactivate,
  revoke_access: revokeAccess,
  end_sessions: endSessions,
  grant_access: grantAccess,
  restore_access: restoreAccess,
};
