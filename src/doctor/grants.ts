import type { Repair } from './finding.ts';

/** A right that is there and should not be, or the other way round. */
export interface GrantDeviation {
  readonly deviation: 'missing' | 'excess' | 'grantable';
  /** As GRANT names it, such as `TABLE tenant_….users`; `TABLES` or `SEQUENCES` are those that come later. */
  readonly object: string;
  readonly column: string | null;
  /** For what comes later: who makes it. */
  readonly maker: string | null;
  /** For what comes later: whether it is about the tenant's schema alone. */
  readonly inSchema: boolean;
  readonly grantee: string;
  readonly privileges: readonly string[];
}

/**
 * The deviations of the schemas from `$1` to `$2`: the tenant's `…_rows` role has USAGE on the schema and the rights on
 * rows, of what comes later too; nobody else has anything, but for the owner. What PostgreSQL lets everybody do with new
 * functions and types is of no use without USAGE on the schema.
 */
export const grantsSql = `
WITH own AS (
  SELECT oid, nspname::text AS schema, nspowner, nspacl, (SELECT pg_roles.oid FROM pg_roles WHERE rolname = nspname) AS maker
  FROM pg_namespace WHERE nspname BETWEEN $1::name AND $2::name AND nspname ~ '^tenant_[0-9a-f]{32}$'
),
objects AS (
  SELECT schema, 'SCHEMA ' || schema AS object, NULL::text AS "column", NULL::oid AS maker, true AS "inSchema",
    nspowner AS owner, nspacl AS acl, ARRAY['USAGE'] AS rights
  FROM own
  UNION ALL
  SELECT schema, CASE relkind WHEN 'S' THEN 'SEQUENCE ' ELSE 'TABLE ' END || pg_class.oid::regclass, NULL, NULL, true,
    relowner, relacl, CASE relkind WHEN 'S' THEN ARRAY['SELECT', 'USAGE'] ELSE ARRAY['DELETE', 'INSERT', 'SELECT', 'UPDATE'] END
  FROM pg_class JOIN own ON relnamespace = own.oid WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  UNION ALL
  SELECT schema, 'TABLE ' || pg_class.oid::regclass, quote_ident(attname), NULL, true, relowner, attacl, '{}'
  FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid JOIN own ON relnamespace = own.oid WHERE attacl IS NOT NULL
  UNION ALL
  SELECT schema, CASE kind WHEN 'S' THEN 'SEQUENCES' ELSE 'TABLES' END, NULL, own.maker, true, own.maker, defaclacl,
    CASE kind WHEN 'S' THEN ARRAY['SELECT', 'USAGE'] ELSE ARRAY['DELETE', 'INSERT', 'SELECT', 'UPDATE'] END
  FROM own CROSS JOIN unnest(ARRAY['r', 'S']) AS kind
  LEFT JOIN pg_default_acl ON defaclnamespace = own.oid AND defaclrole = own.maker AND defaclobjtype = kind::"char"
  UNION ALL
  -- What others make, of other kinds, or in whatever schema.
  SELECT schema, CASE defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'FUNCTIONS' WHEN 'T' THEN 'TYPES' ELSE 'SCHEMAS' END,
    NULL, defaclrole, defaclnamespace <> 0, defaclrole, defaclacl, '{}'
  FROM own JOIN pg_default_acl
    ON defaclnamespace = own.oid AND (defaclrole <> own.maker OR defaclobjtype NOT IN ('r', 'S'))
    OR defaclnamespace = 0 AND defaclrole = own.maker
),
held AS (
  SELECT objects.*, coalesce(rolname::text, 'PUBLIC') AS grantee, privilege_type AS privilege, is_grantable,
    coalesce(rolname = schema || '_rows' AND privilege_type = ANY(rights), false) AS due
  FROM objects CROSS JOIN aclexplode(acl) LEFT JOIN pg_roles ON pg_roles.oid = grantee
  WHERE grantee <> owner AND NOT (grantee = 0 AND object IN ('FUNCTIONS', 'TYPES') AND NOT "inSchema")
),
deviations AS (
  SELECT schema, CASE WHEN due THEN 'grantable' ELSE 'excess' END AS deviation, object, "column", maker, "inSchema", grantee, privilege
  FROM held WHERE NOT due OR is_grantable
  UNION ALL
  SELECT schema, 'missing', object, "column", maker, "inSchema", schema || '_rows', privilege
  FROM objects CROSS JOIN unnest(rights) AS privilege
  WHERE NOT EXISTS (
    SELECT FROM aclexplode(acl) JOIN pg_roles ON pg_roles.oid = grantee
    WHERE rolname = schema || '_rows' AND privilege_type = privilege
  )
)
SELECT schema, deviation, object, "column", pg_roles.rolname AS maker, "inSchema", grantee, array_agg(privilege ORDER BY privilege) AS privileges
FROM deviations LEFT JOIN pg_roles ON pg_roles.oid = maker
GROUP BY schema, deviation, object, "column", pg_roles.rolname, "inSchema", grantee
ORDER BY schema, deviation DESC, object, "column", grantee`;

/** In words. */
export function deviationText({
  deviation,
  object,
  column,
  maker,
  grantee,
  privileges,
}: GrantDeviation): string {
  const place = `${column === null ? '' : `column ${column} of `}${object}`;
  const on = maker === null ? place : `${object} that ${maker} will make`;
  const rights = privileges.join(', ');
  if (deviation === 'missing') return `${grantee} lacks ${rights} on ${on}`;
  return deviation === 'excess'
    ? `${grantee} has ${rights} on ${on}`
    : `${grantee} may pass on ${rights} on ${on}`;
}

/** What the schema's owner does about it; others' rights on what somebody else makes are not the owner's. */
export function deviationRepair(owner: string, grant: GrantDeviation): Repair | string {
  const { deviation, object, column, maker, inSchema, grantee, privileges } = grant;
  const rights = privileges.map((privilege) => (column === null ? privilege : `${privilege} (${column})`));
  const what = `${rights.join(', ')} ON ${object}`;
  const to = grantee === 'PUBLIC' ? grantee : `"${grantee.replaceAll('"', '""')}"`;
  const change =
    deviation === 'missing'
      ? `GRANT ${what} TO ${to}`
      : `REVOKE ${deviation === 'grantable' ? 'GRANT OPTION FOR ' : ''}${what} FROM ${to}`;
  if (maker === null) return { as: 'owner', sql: change };
  if (maker !== owner) return `it is for ${maker} to change: ALTER DEFAULT PRIVILEGES … ${change}`;
  return {
    as: 'owner',
    sql: `ALTER DEFAULT PRIVILEGES ${inSchema ? `IN SCHEMA ${owner} ` : ''}${change}`,
  };
}
