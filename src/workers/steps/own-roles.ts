import { PermanentStepError, type StepContext } from '../step.ts';

type Roles = ReadonlyMap<unknown, { readonly canLogIn: boolean }>;

/**
 * The tenant's roles that are there, and whether they can log in.
 * @throws {PermanentStepError} when one belongs to somebody else
 */
export async function ownRoles(context: StepContext): Promise<Roles> {
  const { own, foreign } = await rolesOf(context);
  const [name] = foreign.keys();
  if (name !== undefined) throw new PermanentStepError(`the role ${name} exists and is not this registry's`);
  return own;
}

/** The same, and those of the tenant's names that are somebody else's. */
export async function rolesOf({ sql, names, mark }: StepContext): Promise<{ own: Roles; foreign: Roles }> {
  const rows = await sql.query(
    `SELECT rolname, rolcanlogin, shobj_description(oid, 'pg_authid') AS mark FROM pg_roles WHERE rolname IN ($1, $2)`,
    [names.owner, names.app],
  );
  const toMap = (some: typeof rows) =>
    new Map(some.map(({ rolname, rolcanlogin }) => [rolname, { canLogIn: rolcanlogin === true }]));
  return {
    own: toMap(rows.filter((row) => row.mark === mark)),
    foreign: toMap(rows.filter((row) => row.mark !== mark)),
  };
}
