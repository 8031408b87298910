import type { SqlSession } from '../core/ports.ts';
import { roleAdminMark, roleAdminPrefix } from '../workers/role-admin.ts';
import { actedAs } from '../workers/role-admins.ts';
import { ownershipMark } from '../workers/tenant-names.ts';
import type { Finding } from './finding.ts';
import { excessAttributes } from './role-attributes.ts';

// Those who administer tenants' roles since PostgreSQL 16 (docs/decisions/0010): what they are, and who may act as them.
// Who made one is its administrator for good; that gives no right to act as it.
const roleAdminsSql = `
SELECT rolname AS name, shobj_description(role.oid, 'pg_authid') AS mark,
  array_remove(ARRAY[
    CASE WHEN rolcanlogin THEN 'LOGIN' END, CASE WHEN NOT rolcreaterole THEN 'NOCREATEROLE' END,
    ${excessAttributes}], NULL) AS attributes,
  ARRAY(
    SELECT member::regrole::text FROM pg_auth_members AS own
    WHERE roleid = role.oid AND coalesce((to_jsonb(own) ->> 'set_option')::boolean, true)
      AND (member::regrole <> quote_ident(current_user)::regrole OR age > ${actedAs})
    ORDER BY 1
  ) AS members
FROM (SELECT *, row_number() OVER (ORDER BY rolname DESC) AS age FROM pg_roles WHERE rolname BETWEEN $1::name AND $2::name) AS role
ORDER BY rolname`;

// A server that was brought from 15 to a later version has no such memberships, and nobody may change the roles then.
const orphansSql = `
SELECT count(*)::int AS count, min(rolname) AS name, current_user AS service
FROM pg_roles AS role
WHERE rolname BETWEEN $1::name AND $2::name AND starts_with(shobj_description(role.oid, 'pg_authid'), $3)
  AND substring(rolname FROM 8 FOR 32) IN (SELECT replace(id::text, '-', '') FROM tenants)
  AND current_setting('server_version_num')::int >= 160000
  AND NOT EXISTS (
    SELECT FROM pg_auth_members JOIN pg_roles AS admin ON admin.oid = member
    WHERE roleid = role.oid AND admin_option AND (starts_with(admin.rolname, $4) OR admin.rolname = current_user)
  )
HAVING count(*) > 0`;

const check = 'role administrators';

/** What is wrong with the roles that administer those of tenants. */
export async function roleAdminFindings(sql: SqlSession, registryId: string): Promise<Finding[]> {
  const prefix = roleAdminPrefix(registryId);
  const rows = await sql.query(roleAdminsSql, [`${prefix}00000`, `${prefix}99999`]);
  const orphans = await sql.query(orphansSql, ['tenant_', 'tenant_g', ownershipMark(registryId, ''), prefix]);
  return [...orphans.map(orphansFinding), ...rows.flatMap(roleAdminFinding)];

  function orphansFinding({ count, name, service }: Record<string, unknown>): Finding {
    return {
      check,
      what: `nobody of this registry administers ${count} roles of tenants, such as ${name}`,
      remedy: `a superuser can, for each: GRANT ${name} TO ${service} WITH ADMIN OPTION`,
    };
  }

  function roleAdminFinding({ name, mark, attributes, members }: Record<string, unknown>): Finding[] {
    if (mark !== roleAdminMark(registryId)) {
      return [
        {
          check,
          what: `${name} does not carry this registry's comment`,
          remedy: 'it may be somebody else’s; an administrator can tell',
        },
      ];
    }
    return [
      ...strings(attributes).map((attribute) => ({
        check,
        what: `${name} is ${attribute}`,
        remedy: { as: 'service' as const, sql: `ALTER ROLE ${name} ${opposite(attribute)}` },
      })),
      ...strings(members).map((member) => ({
        check,
        what: `${member} may act as ${name}`,
        remedy: { as: 'service' as const, sql: `REVOKE ${name} FROM ${member}` },
      })),
    ];
  }
}

function strings(values: unknown): string[] {
  return Array.isArray(values) ? values.map(String) : [];
}

function opposite(attribute: string): string {
  return attribute.startsWith('NO') ? attribute.slice(2) : `NO${attribute}`;
}
