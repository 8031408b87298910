import { scramVerifier } from '../scram.ts';
import type { Step } from '../step.ts';
import { ownRoles } from './own-roles.ts';

/** The owner, who cannot log in, and the `…_app` login, whose search path is the tenant's schema alone. */
export const createRole: Step = {
  // A password cannot be read back, so the login is always brought to the one that is stored.
  probe: async () => false,
  async apply(context) {
    const { sql, names, mark } = context;
    const roles = await ownRoles(context);
    const verifier = await scramVerifier(await context.password());
    const created = [names.owner, names.app]
      .filter((name) => !roles.has(name))
      .map((name) => `CREATE ROLE ${name} NOLOGIN; COMMENT ON ROLE ${name} IS '${mark}';`);
    await sql.query(`
      ${created.join('\n')}
      ALTER ROLE ${names.app} LOGIN PASSWORD '${verifier}';
      ALTER ROLE ${names.app} SET search_path TO ${names.schema}`);
  },
  async undo(context) {
    const { sql, tenantId } = context;
    const roles = [...(await ownRoles(context)).keys()];
    for (const role of roles) await sql.query(`DROP ROLE ${role}`);
    await sql.query('DELETE FROM tenant_credentials WHERE tenant_id = $1', [tenantId]);
  },
};
