import { asOwner, ownership } from '../role-admin.ts';
import { PermanentStepError, type Step, type StepContext } from '../step.ts';

/** The schema, the owner's, with rights on rows for the logins, on tables that come later too. */
export const createSchema: Step = {
  async probe(context) {
    // The administrator is asked for along with it.
    const [is] = await Promise.all([schemaState(context), context.roleAdmin()]);
    if (is === 'foreign') {
      throw new PermanentStepError(`the schema ${context.names.schema} exists and is not this registry's`);
    }
    return is === 'own';
  },
  async apply({ sql, names, mark, roleAdmin }) {
    const { schema, owner, rows } = names;
    const { take, giveBack } = ownership(owner, await roleAdmin());
    // The service may create schemas; the owner may not.
    sql.send(`
      ${take}
      CREATE SCHEMA ${schema} AUTHORIZATION ${owner};
      SET LOCAL ROLE ${owner};
      COMMENT ON SCHEMA ${schema} IS '${mark}';
      GRANT USAGE ON SCHEMA ${schema} TO ${rows};
      ALTER DEFAULT PRIVILEGES IN SCHEMA ${schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ${rows};
      ALTER DEFAULT PRIVILEGES IN SCHEMA ${schema} GRANT USAGE, SELECT ON SEQUENCES TO ${rows};
      ${giveBack}`);
  },
  // With all that the migrations made in it. What is somebody else's stays.
  async undo(context) {
    const { sql, names, setSchemaVersion } = context;
    if ((await schemaState(context)) !== 'own') return;
    const { before, after } = asOwner(names.owner, await context.roleAdmin());
    await sql.query(`${before}DROP SCHEMA ${names.schema} CASCADE${after}`);
    setSchemaVersion(0);
  },
};

async function schemaState({ sql, names, mark }: StepContext): Promise<'own' | 'foreign' | 'absent'> {
  const [schema] = await sql.query(
    `SELECT obj_description(oid, 'pg_namespace') AS mark FROM pg_namespace WHERE nspname = $1`,
    [names.schema],
  );
  if (schema === undefined) return 'absent';
  return schema.mark === mark ? 'own' : 'foreign';
}
