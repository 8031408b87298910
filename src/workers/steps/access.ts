import { asRoleAdmin } from '../role-admin.ts';
import type { Step, StepContext } from '../step.ts';
import { loginsOf } from '../tenant-names.ts';
import { endSessions as endSessionsOf } from '../tenant-sessions.ts';
import { ownRoles } from './own-roles.ts';

/** Nobody logs in as the tenant any more, neither the service nor who holds a lease. */
export const revokeAccess: Step = {
  probe: async (context) => (await openLogins(context)).length === 0,
  apply: forbidLogins,
  async undo(context) {
    if (!(await canLogIn(context))) await allowLogin(context);
  },
};

/**
 * What is logged in ends, and the leases with it; a step behind the revocation, which must be committed first. Before
 * access is granted it has nothing to end, but undoes what came of that: when the login is forbidden again.
 */
export const endSessions: Step = {
  probe: async () => false,
  apply: endAll,
  async undo(context) {
    if (!(await canLogIn(context))) await endAll(context);
  },
};

/** The tenant's login works again. */
export const grantAccess: Step = {
  probe: canLogIn,
  apply: allowLogin,
  async undo(context) {
    if (await canLogIn(context)) await forbidLogins(context);
  },
};

/**
 * The same for a tenant that was not suspended before it was deleted. The login of one that was is closed, however it was left.
 */
export const restoreAccess: Step = {
  ...grantAccess,
  probe: async (context) => (await canLogIn(context)) !== isSuspended(context),
  apply: (context) => (isSuspended(context) ? forbidLogins(context) : allowLogin(context)),
};

export function isSuspended({ tenantStatus }: StepContext): boolean {
  return tenantStatus === 'INACTIVE';
}

/** @throws {PermanentStepError} when the role belongs to somebody else */
async function canLogIn(context: StepContext): Promise<boolean> {
  return (await openLogins(context)).includes(context.names.app);
}

/** The tenant's roles that can log in: the service's, and those of leases. */
async function openLogins(context: StepContext): Promise<string[]> {
  return [...(await ownRoles(context))].filter(([, role]) => role.canLogIn).map(([name]) => name);
}

/** Of the service alone: leases have ended, and are taken anew. */
async function allowLogin(context: StepContext): Promise<void> {
  await alter(context, [context.names.app], 'LOGIN');
}

async function forbidLogins(context: StepContext): Promise<void> {
  const { sql, tenantId } = context;
  // Who ends a lease alters its role, and holds its row meanwhile.
  await sql.query('SELECT FROM leases WHERE tenant_id = $1 ORDER BY slot FOR UPDATE', [tenantId]);
  await alter(context, await openLogins(context), 'NOLOGIN');
}

async function alter(
  { sql, roleAdmin }: StepContext,
  logins: readonly string[],
  right: 'LOGIN' | 'NOLOGIN',
): Promise<void> {
  const { before, after } = asRoleAdmin(await roleAdmin());
  const statements = logins.map((login) => `ALTER ROLE ${login} ${right}`);
  await sql.query(`${before}${statements.join(';\n')}${after}`);
}

async function endAll({ sql, names, mark, tenantId }: StepContext): Promise<void> {
  await endSessionsOf(sql, { ...loginsOf(names), mark });
  await sql.query(
    'UPDATE leases SET ended_at = clock_timestamp() WHERE tenant_id = $1 AND ended_at IS NULL',
    [tenantId],
  );
}
