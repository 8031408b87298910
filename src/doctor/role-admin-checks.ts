import type { SqlSession } from '../core/ports.ts';
import { actedAs, roleAdminMark, roleAdminPrefix } from '../workers/role-admin.ts';
import type { Finding } from './finding.ts';

// Those who administer tenants' roles since PostgreSQL 16 (docs/decisions/0010): what they are, and who may act as them.
// Who made one is its administrator for good; that gives no right to act as it.
const roleAdminsSql = `
SELECT rolname AS name, shobj_description(role.oid, 'pg_authid') AS mark,
  array_remove(ARRAY[
    CASE WHEN rolcanlogin THEN 'LOGIN' END, CASE WHEN NOT rolcreaterole THEN 'NOCREATEROLE' END,
    CASE WHEN rolsuper THEN 'SUPERUSER' END, CASE WHEN rolcreatedb THEN 'CREATEDB' END,
    CASE WHEN rolreplication THEN 'REPLICATION' END, CASE WHEN rolbypassrls THEN 'BYPASSRLS' END], NULL) AS attributes,
  ARRAY(
    SELECT member::regrole::text FROM pg_auth_members AS own
    WHERE roleid = role.oid AND coalesce((to_jsonb(own) ->> 'set_option')::boolean, true)
      AND (member::regrole <> quote_ident(current_user)::regrole OR age > ${actedAs})
    ORDER BY 1
  ) AS members
FROM (SELECT *, row_number() OVER (ORDER BY rolname DESC) AS age FROM pg_roles WHERE rolname BETWEEN $1::name AND $2::name) AS role
ORDER BY rolname`;

const check = 'role administrators';

/** What is wrong with the roles that administer those of tenants. */
export async function roleAdminFindings(sql: SqlSession, registryId: string): Promise<Finding[]> {
  const prefix = roleAdminPrefix(registryId);
  const rows = await sql.query(roleAdminsSql, [`${prefix}00000`, `${prefix}99999`]);
  return rows.flatMap(({ name, mark, attributes, members }): Finding[] => {
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
  });
}

function strings(values: unknown): string[] {
  return Array.isArray(values) ? values.map(String) : [];
}

function opposite(attribute: string): string {
  return attribute.startsWith('NO') ? attribute.slice(2) : `NO${attribute}`;
}
