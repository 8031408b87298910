import { asRoleAdmin } from '../role-admin.ts';
import { fewestIterations, scramVerifier } from '../scram.ts';
import type { Step } from '../step.ts';
import { ownRoles, rolesOf } from './own-roles.ts';

/** The owner, the holder of the rights on rows, and the `…_app` login, whose search path is the tenant's schema alone. */
export const createRole: Step = {
  // A password cannot be read back, so the login is always brought to the one that is stored.
  probe: async () => false,
  async apply(context) {
    const { sql, names, mark } = context;
    const [roles, password] = await Promise.all([ownRoles(context), context.password()]);
    const [admin, verifier] = await Promise.all([
      roles.size > 0 ? context.roleAdmin() : context.chooseRoleAdmin(),
      scramVerifier(password, fewestIterations),
    ]);
    const login = `LOGIN PASSWORD '${verifier}'`;
    const { before, after } = asRoleAdmin(admin);
    const create = (role: string, options: string) => [
      `CREATE ROLE ${role} ${options}`,
      `COMMENT ON ROLE ${role} IS '${mark}'`,
    ];
    const statements = [
      ...[names.owner, names.rows]
        .filter((role) => !roles.has(role))
        .flatMap((role) => create(role, 'NOLOGIN')),
      ...(roles.has(names.app)
        ? [`ALTER ROLE ${names.app} ${login}`, `GRANT ${names.rows} TO ${names.app}`]
        : create(names.app, `${login} IN ROLE ${names.rows}`)),
      `ALTER ROLE ${names.app} SET search_path TO ${names.schema}`,
    ];
    sql.send(`${before}${statements.join(';\n')}${after}`);
  },
  // What is somebody else's stays.
  async undo(context) {
    const { sql, tenantId } = context;
    const roles = [...(await rolesOf(context)).own.keys()];
    if (roles.length > 0) {
      const { before, after } = asRoleAdmin(await context.roleAdmin());
      await sql.query(`${before}DROP ROLE ${roles.join(', ')}${after}`);
    }
    await sql.query('DELETE FROM tenant_credentials WHERE tenant_id = $1', [tenantId]);
  },
};
