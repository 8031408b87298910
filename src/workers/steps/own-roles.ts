import { PermanentStepError, type StepContext } from '../step.ts';
import { isLeaseLogin } from '../tenant-names.ts';

type Roles = ReadonlyMap<string, { readonly canLogIn: boolean }>;

/**
 * The tenant's roles that are there, those of its lease slots too, and whether they can log in.
 * @throws {PermanentStepError} when one belongs to somebody else
 */
export async function ownRoles(context: StepContext): Promise<Roles> {
  const { own, foreign } = await rolesOf(context);
  const [name] = foreign.keys();
  if (name !== undefined) throw new PermanentStepError(`the role ${name} exists and is not this registry's`);
  return own;
}

/** The same, and those of the tenant's names that are somebody else's; of lease slots none, for nobody needs a certain one. */
export async function rolesOf({ sql, names, mark }: StepContext): Promise<{ own: Roles; foreign: Roles }> {
  const rows = await sql.query(
    `SELECT rolname, rolcanlogin, shobj_description(oid, 'pg_authid') AS mark
     FROM pg_roles WHERE rolname BETWEEN $1::name AND $2::name`,
    // The first and the last of them, as the index has them.
    [names.owner, names.rows],
  );
  const isFixed = (role: unknown) => role === names.owner || role === names.rows || role === names.app;
  const toMap = (some: typeof rows) =>
    new Map(some.map(({ rolname, rolcanlogin }) => [String(rolname), { canLogIn: rolcanlogin === true }]));
  return {
    own: toMap(
      rows.filter(
        ({ rolname, mark: its }) =>
          its === mark && (isFixed(rolname) || isLeaseLogin(names, String(rolname))),
      ),
    ),
    foreign: toMap(rows.filter(({ rolname, mark: its }) => its !== mark && isFixed(rolname))),
  };
}
