import type { Step, StepContext } from '../step.ts';

/** Nobody logs in as the tenant any more. */
export const revokeAccess: Step = {
  probe: async (context) => !(await canLogIn(context)),
  apply: ({ sql, names }) => run(sql.query(`ALTER ROLE ${names.app} NOLOGIN`)),
};

/** What is logged in ends; a step behind the revocation, which must be committed first. */
export const endSessions: Step = {
  probe: async () => false,
  apply: ({ sql, names }) =>
    run(
      sql.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = $1', [
        names.app,
      ]),
    ),
};

/** The tenant's login works again. */
export const grantAccess: Step = {
  probe: (context) => canLogIn(context),
  apply: ({ sql, names }) => run(sql.query(`ALTER ROLE ${names.app} LOGIN`)),
};

async function canLogIn({ sql, names }: StepContext): Promise<boolean> {
  const [role] = await sql.query('SELECT rolcanlogin FROM pg_roles WHERE rolname = $1', [names.app]);
  return role?.rolcanlogin === true;
}

async function run(statement: Promise<unknown>): Promise<void> {
  await statement;
}
