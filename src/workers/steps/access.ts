import { asRoleAdmin, roleAdminOf } from '../role-admin.ts';
import { type Step, type StepContext, StepError } from '../step.ts';
import { ownRoles } from './own-roles.ts';

/** Nobody logs in as the tenant any more. */
export const revokeAccess: Step = {
  probe: async (context) => !(await canLogIn(context)),
  apply: forbidLogin,
  async undo(context) {
    if (!(await canLogIn(context))) await allowLogin(context);
  },
};

/**
 * What is logged in ends; a step behind the revocation, which must be committed first. Before access is granted it has
 * nothing to end, but undoes what came of that: when the login is forbidden again.
 */
export const endSessions: Step = {
  probe: async () => false,
  apply: endAll,
  verify: noneIsLeft,
  async undo(context) {
    if (await canLogIn(context)) return;
    await endAll(context);
    await noneIsLeft(context);
  },
};

/** The tenant's login works again. */
export const grantAccess: Step = {
  probe: canLogIn,
  apply: allowLogin,
  async undo(context) {
    if (await canLogIn(context)) await forbidLogin(context);
  },
};

/**
 * The same for a tenant that was not suspended before it was deleted. The login of one that was is closed, however it was left.
 */
export const restoreAccess: Step = {
  ...grantAccess,
  probe: async (context) => (await canLogIn(context)) !== isSuspended(context),
  apply: (context) => (isSuspended(context) ? forbidLogin(context) : allowLogin(context)),
};

export function isSuspended({ tenantStatus }: StepContext): boolean {
  return tenantStatus === 'INACTIVE';
}

/** @throws {PermanentStepError} when the role belongs to somebody else */
async function canLogIn(context: StepContext): Promise<boolean> {
  return (await ownRoles(context)).get(context.names.app)?.canLogIn === true;
}

async function allowLogin(context: StepContext): Promise<void> {
  await alterLogin(context, 'LOGIN');
}

async function forbidLogin(context: StepContext): Promise<void> {
  await alterLogin(context, 'NOLOGIN');
}

async function alterLogin(
  { sql, names, registryId }: StepContext,
  right: 'LOGIN' | 'NOLOGIN',
): Promise<void> {
  const { before, after } = asRoleAdmin(await roleAdminOf(sql, registryId, names.owner));
  await sql.query(`${before}ALTER ROLE ${names.app} ${right}${after}`);
}

async function endAll({ sql, names }: StepContext): Promise<void> {
  await sql.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1', [
    names.app,
  ]);
}

async function noneIsLeft({ sql, names }: StepContext): Promise<void> {
  // What a transaction has seen of the sessions once, it goes on seeing.
  await sql.query('SELECT pg_stat_clear_snapshot()');
  const left = await sql.query('SELECT FROM pg_stat_activity WHERE usename = $1', [names.app]);
  if (left.length > 0) throw new StepError('not every session of the tenant could be ended');
}
