import { asOwner } from '../as-owner.ts';
import { PermanentStepError, type Step } from '../step.ts';

/** The schema, the owner's, with rights on rows for the `…_app` login, on tables that come later too. */
export const createSchema: Step = {
  async probe({ sql, names, mark }) {
    const [schema] = await sql.query(
      `SELECT obj_description(oid, 'pg_namespace') AS mark FROM pg_namespace WHERE oid = to_regnamespace($1)`,
      [names.schema],
    );
    if (schema === undefined) return false;
    if (schema.mark === mark) return true;
    throw new PermanentStepError(`the schema ${names.schema} exists and is not this registry's`);
  },
  async apply({ sql, names, mark }) {
    const { schema, owner, app } = names;
    // The service may create schemas; the owner may not.
    await sql.query(`GRANT ${owner} TO CURRENT_USER`);
    await sql.query(`CREATE SCHEMA ${schema} AUTHORIZATION ${owner}`);
    await sql.query(`REVOKE ${owner} FROM CURRENT_USER`);
    await asOwner(sql, owner, async () => {
      await sql.query(`
        COMMENT ON SCHEMA ${schema} IS '${mark}';
        GRANT USAGE ON SCHEMA ${schema} TO ${app};
        ALTER DEFAULT PRIVILEGES IN SCHEMA ${schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO ${app};
        ALTER DEFAULT PRIVILEGES IN SCHEMA ${schema} GRANT USAGE, SELECT ON SEQUENCES TO ${app}`);
    });
  },
};
