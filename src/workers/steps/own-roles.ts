import { PermanentStepError, type StepContext } from '../step.ts';

/**
 * The tenant's roles that are there, and whether they can log in.
 * @throws {PermanentStepError} when one belongs to somebody else
 */
export async function ownRoles({
  sql,
  names,
  mark,
}: Pick<StepContext, 'sql' | 'names' | 'mark'>): Promise<ReadonlyMap<unknown, { canLogIn: boolean }>> {
  const rows = await sql.query(
    `SELECT rolname, rolcanlogin, shobj_description(oid, 'pg_authid') AS mark FROM pg_roles WHERE rolname IN ($1, $2)`,
    [names.owner, names.app],
  );
  const foreign = rows.find((row) => row.mark !== mark);
  if (foreign) throw new PermanentStepError(`the role ${foreign.rolname} exists and is not this registry's`);
  return new Map(rows.map(({ rolname, rolcanlogin }) => [rolname, { canLogIn: rolcanlogin === true }]));
}
