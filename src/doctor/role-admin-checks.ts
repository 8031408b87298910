import type { SqlSession } from '../core/ports.ts';
import {
  allNumbered,
  asChief,
  chiefOf,
  chiefPrefix,
  isGranted,
  readRoleAdmin,
  roleAdminMark,
  roleAdminPrefix,
} from '../workers/role-admin.ts';
import { actedAs } from '../workers/role-admins.ts';
import { ownershipMark } from '../workers/tenant-names.ts';
import type { Finding } from './finding.ts';
import { excessAttributes } from './role-attributes.ts';

// Those who administer tenants' roles since PostgreSQL 16, and their chiefs (docs/decisions/0010): what they are, and who
// may act as them. Who made one is its administrator for good; that gives no right to act as it. Parameters: the first and
// the last of their names, and as how many of the newest the service may act.
const roleAdminsSql = `
SELECT rolname AS name, shobj_description(role.oid, 'pg_authid') AS mark, ${chiefOf('role.oid')}, ${isGranted('role.oid')},
  array_remove(ARRAY[
    CASE WHEN rolcanlogin THEN 'LOGIN' END, CASE WHEN NOT rolcreaterole THEN 'NOCREATEROLE' END,
    ${excessAttributes}], NULL) AS attributes,
  ARRAY(
    SELECT member::regrole::text FROM pg_auth_members AS own
    WHERE roleid = role.oid AND coalesce((to_jsonb(own) ->> 'set_option')::boolean, true)
      AND (member::regrole <> quote_ident(current_user)::regrole OR age > $3)
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
  const found = (names: string, newest: number) => sql.query(roleAdminsSql, [...allNumbered(names), newest]);
  // The service may act as all chiefs that there are.
  const chiefs = await found(chiefPrefix(registryId), Number.MAX_SAFE_INTEGER);
  // The chiefs first: what is wrong with the others is mended by them.
  const rows = [...chiefs, ...(await found(prefix, actedAs))];
  const own = roleAdminMark(registryId);
  const unreachable = chiefs.filter(({ granted, mark }) => granted !== true && mark === own);
  const orphans = await sql.query(orphansSql, ['tenant_', 'tenant_g', ownershipMark(registryId, ''), prefix]);
  return [
    ...orphans.map(orphansFinding),
    ...unreachable.map(unreachableFinding),
    ...rows.flatMap(roleAdminFinding),
  ];

  function unreachableFinding({ name }: Record<string, unknown>): Finding {
    return {
      check,
      what: `the service may not act as ${name}`,
      remedy: { as: 'service', sql: `GRANT ${name} TO SESSION_USER WITH INHERIT FALSE` },
    };
  }

  function orphansFinding({ count, name, service }: Record<string, unknown>): Finding {
    return {
      check,
      what: `nobody of this registry administers ${count} roles of tenants, such as ${name}`,
      remedy: `a superuser can, for each: GRANT ${name} TO ${service} WITH ADMIN OPTION`,
    };
  }

  function roleAdminFinding({ name, mark, attributes, members, ...row }: Record<string, unknown>): Finding[] {
    if (mark !== own) {
      return [
        {
          check,
          what: `${name} does not carry this registry's comment`,
          remedy: 'it may be somebody else’s; an administrator can tell',
        },
      ];
    }
    const before = asChief(readRoleAdmin({ ...row, name }));
    const remedy = (statement: string) => ({
      as: 'service' as const,
      sql: `${before} ${statement}; RESET ROLE`,
    });
    return [
      ...strings(attributes).map((attribute) => ({
        check,
        what: `${name} is ${attribute}`,
        remedy: remedy(`ALTER ROLE ${name} ${opposite(attribute)}`),
      })),
      ...strings(members).map((member) => ({
        check,
        what: `${member} may act as ${name}`,
        remedy: remedy(`REVOKE ${name} FROM ${member}`),
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
