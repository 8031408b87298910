import { scramVerifier } from '../scram.ts';
import { PermanentStepError, type Step, type StepContext } from '../step.ts';

/** The owner, who cannot log in, and the `…_app` login, whose search path is the tenant's schema alone. */
export const createRole: Step = {
  // A password cannot be read back, so the login is always brought to the one that is stored.
  probe: async () => false,
  async apply(context) {
    const { sql, names, mark } = context;
    const roles = await ownRoles(context);
    for (const name of [names.owner, names.app]) {
      if (!roles.has(name)) await sql.query(`CREATE ROLE ${name} NOLOGIN`);
      await sql.query(`COMMENT ON ROLE ${name} IS '${mark}'`);
    }
    const verifier = await scramVerifier(await context.password());
    await sql.query(`ALTER ROLE ${names.app} LOGIN PASSWORD '${verifier}'`);
    await sql.query(`ALTER ROLE ${names.app} SET search_path TO ${names.schema}`);
  },
};

/** The tenant's roles that are there. @throws {PermanentStepError} when one belongs to somebody else */
async function ownRoles({ sql, names, mark }: StepContext): Promise<ReadonlySet<unknown>> {
  const rows = await sql.query(
    `SELECT rolname, shobj_description(oid, 'pg_authid') AS mark FROM pg_roles WHERE rolname IN ($1, $2)`,
    [names.owner, names.app],
  );
  const foreign = rows.find((row) => row.mark !== mark);
  if (foreign) throw new PermanentStepError(`the role ${foreign.rolname} exists and is not this registry's`);
  return new Set(rows.map(({ rolname }) => rolname));
}
