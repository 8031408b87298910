import { asOwner } from '../as-owner.ts';
import { PermanentStepError, type Step, type StepContext } from '../step.ts';

/** The tenant migrations, from the schema's version to the newest, as one script in one transaction. */
export const applyMigrations: Step = {
  async probe(context) {
    return (await schemaVersion(context)) >= context.migrations.version;
  },
  async apply(context) {
    const { sql, names, migrations, tenantId } = context;
    const script = migrations.scriptFrom(await schemaVersion(context));
    await asOwner(sql, names.owner, async () => {
      await sql.query(`SET LOCAL search_path TO ${names.schema}; SET LOCAL lock_timeout TO '5s'`);
      await sql.query(script);
    });
    await sql.query('RESET search_path');
    await sql.query('UPDATE public.tenants SET schema_version = $2 WHERE id = $1', [
      tenantId,
      migrations.version,
    ]);
  },
};

async function schemaVersion({ sql, tenantId }: StepContext): Promise<number> {
  const [tenant] = await sql.query('SELECT schema_version FROM tenants WHERE id = $1', [tenantId]);
  if (typeof tenant?.schema_version !== 'number')
    throw new PermanentStepError('the tenant is not in the registry');
  return tenant.schema_version;
}
