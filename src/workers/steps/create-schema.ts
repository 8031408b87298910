import { asOwner, ownership, roleAdminOf } from '../role-admin.ts';
import { PermanentStepError, type Step, type StepContext } from '../step.ts';

/** The schema, the owner's, with rights on rows for the `…_app` login, on tables that come later too. */
export const createSchema: Step = {
  probe: hasSchema,
  async apply({ sql, names, mark, registryId }) {
    const { schema, owner, app } = names;
    const { take, giveBack } = ownership(owner, await roleAdminOf(sql, registryId, owner));
    // The service may create schemas; the owner may not.
    await sql.query(`
      ${take}
      CREATE SCHEMA ${schema} AUTHORIZATION ${owner};
      SET LOCAL ROLE ${owner};
      COMMENT ON SCHEMA ${schema} IS '${mark}';
      GRANT USAGE ON SCHEMA ${schema} TO ${app};
      ALTER DEFAULT PRIVILEGES IN SCHEMA ${schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ${app};
      ALTER DEFAULT PRIVILEGES IN SCHEMA ${schema} GRANT USAGE, SELECT ON SEQUENCES TO ${app};
      ${giveBack}`);
  },
  async undo(context) {
    const { sql, names, registryId } = context;
    if (!(await hasSchema(context))) return;
    const { before, after } = asOwner(names.owner, await roleAdminOf(sql, registryId, names.owner));
    await sql.query(`${before}DROP SCHEMA ${names.schema} CASCADE${after}`);
  },
};

/** @throws {PermanentStepError} when it belongs to somebody else */
async function hasSchema({ sql, names, mark }: StepContext): Promise<boolean> {
  const [schema] = await sql.query(
    `SELECT obj_description(oid, 'pg_namespace') AS mark FROM pg_namespace WHERE oid = to_regnamespace($1)`,
    [names.schema],
  );
  if (schema === undefined) return false;
  if (schema.mark === mark) return true;
  throw new PermanentStepError(`the schema ${names.schema} exists and is not this registry's`);
}
