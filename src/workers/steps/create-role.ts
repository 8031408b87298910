import { asRoleAdmin, nextRoleAdmin, roleAdminOf } from '../role-admin.ts';
import { scramVerifier } from '../scram.ts';
import type { Step } from '../step.ts';
import { ownRoles, rolesOf } from './own-roles.ts';

/** The owner, who cannot log in, and the `…_app` login, whose search path is the tenant's schema alone. */
export const createRole: Step = {
  // A password cannot be read back, so the login is always brought to the one that is stored.
  probe: async () => false,
  async apply(context) {
    const { sql, names, mark, registryId } = context;
    const roles = await ownRoles(context);
    const admin =
      roles.size > 0 ? await roleAdminOf(sql, registryId, names.owner) : await nextRoleAdmin(sql, registryId);
    const verifier = await scramVerifier(await context.password());
    const login = `LOGIN PASSWORD '${verifier}'`;
    const { before, after } = asRoleAdmin(admin);
    const statements = [
      ...(roles.has(names.owner)
        ? []
        : [`CREATE ROLE ${names.owner} NOLOGIN`, `COMMENT ON ROLE ${names.owner} IS '${mark}'`]),
      ...(roles.has(names.app)
        ? [`ALTER ROLE ${names.app} ${login}`]
        : [`CREATE ROLE ${names.app} ${login}`, `COMMENT ON ROLE ${names.app} IS '${mark}'`]),
      `ALTER ROLE ${names.app} SET search_path TO ${names.schema}`,
    ];
    await sql.query(`${before}${statements.join(';\n')}${after}`);
  },
  // What is somebody else's stays.
  async undo(context) {
    const { sql, names, tenantId, registryId } = context;
    const roles = [...(await rolesOf(context)).own.keys()];
    if (roles.length > 0) {
      const { before, after } = asRoleAdmin(await roleAdminOf(sql, registryId, names.owner));
      await sql.query(`${before}DROP ROLE ${roles.join(', ')}${after}`);
    }
    await sql.query('DELETE FROM tenant_credentials WHERE tenant_id = $1', [tenantId]);
  },
};
