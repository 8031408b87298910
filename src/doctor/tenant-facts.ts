import type { OperationKind, OperationState, TenantStatus } from '../core/model.ts';
import type { SqlSession } from '../core/ports.ts';
import { ownershipMark, type TenantNames, tenantNames } from '../workers/tenant-names.ts';
import { type GrantDeviation, grantsSql } from './grants.ts';
import { excessAttributes } from './role-attributes.ts';

/** What the registry says of a tenant, and what PostgreSQL has of it; all of one snapshot. */
export interface TenantFacts {
  readonly id: string;
  readonly subdomain: string;
  readonly names: TenantNames;
  /** What its roles and its schema should carry. */
  readonly mark: string;
  readonly status: TenantStatus;
  readonly deleted: boolean;
  readonly schemaVersion: number;
  readonly operation: { readonly kind: OperationKind; readonly state: OperationState } | null;
  /** The slots that leases are on. */
  readonly slots: readonly number[];
  readonly objects: TenantObjects;
}

/** What PostgreSQL has under the names of one tenant. */
export interface TenantObjects {
  readonly roles: ReadonlyMap<string, RoleFacts>;
  readonly schema: { readonly owner: string; readonly mark: string | null } | null;
  readonly memberships: readonly Membership[];
  readonly grants: readonly GrantDeviation[];
  /** What is in the schema and not its owner's. */
  readonly foreign: readonly { readonly object: string; readonly owner: string }[];
  /** What its roles own or may do outside of tenants' schemas. */
  readonly outside: readonly { readonly role: string; readonly object: string; readonly owns: boolean }[];
}

export interface RoleFacts {
  readonly name: string;
  readonly mark: string | null;
  readonly canLogIn: boolean;
  readonly inherits: boolean;
  /** Attributes that no role of a tenant has, as ALTER ROLE names them. */
  readonly powers: readonly string[];
  readonly connectionLimit: number;
  readonly expired: boolean;
  /** `name=value`; those for one database alone have its name before them. */
  readonly settings: readonly string[];
}

export interface Membership {
  readonly role: string;
  readonly member: string;
  readonly admin: boolean;
  readonly inherits: boolean;
}

/** The names from one to another, both included, as PostgreSQL orders them. */
export interface NameRange {
  readonly from: string;
  readonly to: string;
}

/** The names of one tenant's roles and schema. */
export function namesOf({ schema }: TenantNames): NameRange {
  return { from: schema, to: endOf(schema) };
}

/** Where a tenant's names end: behind every suffix. */
export function endOf(schema: string): string {
  return `${schema}_~`;
}

/** The tenant's schema that a name belongs to, for SQL; null for other names. */
const schemaOf = (name: string) =>
  `substring(${name}::text, '^(tenant_[0-9a-f]{32})(?:_app|_rows|_l[1-9][0-9]*)?$')`;

const tenantsSql = `
SELECT tenant.id, subdomain, status, deleted_at IS NOT NULL AS deleted, schema_version AS "schemaVersion",
  CASE WHEN operation.id IS NOT NULL THEN json_build_object('kind', kind, 'state', state) END AS operation,
  ARRAY(SELECT slot FROM leases WHERE tenant_id = tenant.id AND ended_at IS NULL ORDER BY slot) AS slots
FROM tenants AS tenant LEFT JOIN operations AS operation ON operation.id = operation_id`;

const rolesSql = `
SELECT ${schemaOf('rolname')} AS schema, rolname AS name, shobj_description(oid, 'pg_authid') AS mark,
  rolcanlogin AS "canLogIn", rolinherit AS inherits, rolconnlimit AS "connectionLimit",
  coalesce(rolvaliduntil <= now(), false) AS expired,
  array_remove(ARRAY[CASE WHEN rolcreaterole THEN 'CREATEROLE' END, ${excessAttributes}], NULL) AS powers,
  ARRAY(
    SELECT coalesce(datname || ': ', '') || setting
    FROM pg_db_role_setting CROSS JOIN unnest(setconfig) AS setting LEFT JOIN pg_database ON pg_database.oid = setdatabase
    WHERE setrole = role.oid AND (setdatabase = 0 OR datname = current_database())
    ORDER BY setdatabase, setting COLLATE "C"
  ) AS settings
FROM pg_roles AS role
WHERE rolname BETWEEN $1::name AND $2::name AND ${schemaOf('rolname')} IS NOT NULL ORDER BY rolname`;

const schemasSql = `
SELECT nspname AS schema, rolname AS owner, obj_description(namespace.oid, 'pg_namespace') AS mark
FROM pg_namespace AS namespace JOIN pg_roles AS owner ON owner.oid = nspowner
WHERE nspname BETWEEN $1::name AND $2::name AND ${schemaOf('nspname')} = nspname ORDER BY nspname`;

// Since PostgreSQL 16 a membership says itself whether it is inherited.
const membershipsSql = `
WITH own AS (SELECT oid FROM pg_roles WHERE rolname BETWEEN $1::name AND $2::name)
SELECT coalesce(${schemaOf('role.rolname')}, ${schemaOf('member.rolname')}) AS schema,
  role.rolname AS role, member.rolname AS member, membership.admin_option AS admin,
  coalesce((to_jsonb(membership) ->> 'inherit_option')::boolean, member.rolinherit) AS inherits
FROM pg_auth_members AS membership
JOIN pg_roles AS role ON role.oid = membership.roleid JOIN pg_roles AS member ON member.oid = membership.member
WHERE (role.oid IN (SELECT oid FROM own) OR member.oid IN (SELECT oid FROM own))
  AND coalesce(${schemaOf('role.rolname')}, ${schemaOf('member.rolname')}) IS NOT NULL
ORDER BY role.rolname, member.rolname`;

const foreignSql = `
WITH own AS (
  SELECT oid, nspname FROM pg_namespace WHERE nspname BETWEEN $1::name AND $2::name AND ${schemaOf('nspname')} = nspname
),
objects AS (
  SELECT relnamespace AS namespace, 'pg_class'::regclass AS class, oid, relowner AS owner FROM pg_class
  WHERE relkind IN ('r', 'p', 'v', 'm', 'f', 'S')
  UNION ALL SELECT pronamespace, 'pg_proc'::regclass, oid, proowner FROM pg_proc
  UNION ALL SELECT typnamespace, 'pg_type'::regclass, oid, typowner FROM pg_type WHERE typtype IN ('e', 'd')
)
SELECT nspname AS schema, pg_describe_object(class, objects.oid, 0) AS object, rolname AS owner
FROM own JOIN objects ON namespace = own.oid JOIN pg_roles ON pg_roles.oid = owner
WHERE rolname <> nspname ORDER BY 1, 2`;

// Every right that a role has on anything, and everything that it owns, is noted in pg_shdepend. Not meant are
// memberships, default privileges (among the grants), and temporary tables.
const outsideSql = `
SELECT DISTINCT ${schemaOf('rolname')} AS schema, rolname AS role, deptype = 'o' AS owns,
  CASE WHEN here THEN pg_describe_object(classid, objid, 0) ELSE 'something in the database ' || datname END AS object
FROM pg_shdepend
JOIN pg_roles ON pg_roles.oid = refobjid AND refclassid = 'pg_authid'::regclass
LEFT JOIN pg_database ON pg_database.oid = dbid
CROSS JOIN LATERAL (SELECT dbid = 0 OR datname = current_database() AS here) AS place
CROSS JOIN LATERAL (
  SELECT CASE
    WHEN NOT here THEN ''
    WHEN classid = 'pg_namespace'::regclass THEN (SELECT nspname::text FROM pg_namespace WHERE oid = objid)
    ELSE coalesce((pg_identify_object(classid, objid, objsubid)).schema, '')
  END AS container
) AS container
WHERE rolname BETWEEN $1::name AND $2::name AND ${schemaOf('rolname')} IS NOT NULL AND deptype IN ('a', 'o', 'r')
  AND classid NOT IN ('pg_auth_members'::regclass, 'pg_default_acl'::regclass)
  AND container !~ '^(tenant_[0-9a-f]{32}|pg_temp_[0-9]+|pg_toast_temp_[0-9]+)$'
ORDER BY 1, 2, 4`;

/** The next tenants behind `after`, in the order of their ids. */
export async function tenantsBehind(
  sql: SqlSession,
  registryId: string,
  after: string | null,
  limit: number,
): Promise<Omit<TenantFacts, 'objects'>[]> {
  const behind = after === null ? '' : 'WHERE tenant.id > $2';
  const values = after === null ? [limit] : [limit, after];
  const rows = await sql.query(`${tenantsSql} ${behind} ORDER BY tenant.id LIMIT $1`, values);
  return rows.map((row) => tenantOf(row, registryId));
}

/** One tenant; null when there is none. */
export async function tenantById(
  sql: SqlSession,
  registryId: string,
  id: string,
): Promise<Omit<TenantFacts, 'objects'> | null> {
  const [row] = await sql.query(`${tenantsSql} WHERE tenant.id = $1`, [id]);
  return row === undefined ? null : tenantOf(row, registryId);
}

// The select list is what makes this true.
function tenantOf(row: Record<string, unknown>, registryId: string): Omit<TenantFacts, 'objects'> {
  const facts = row as unknown as Omit<TenantFacts, 'objects' | 'names' | 'mark'>;
  return { ...facts, names: tenantNames(facts.id), mark: ownershipMark(registryId, facts.id) };
}

/** What PostgreSQL has under tenants' names, by schema name. */
export async function objectsIn(
  sql: SqlSession,
  { from, to }: NameRange,
): Promise<ReadonlyMap<string, TenantObjects>> {
  // One after the other: they are of one session. The select lists are what makes the types true.
  async function read<T>(text: string): Promise<ReadonlyMap<string, readonly T[]>> {
    const rows = (await sql.query(text, [from, to])) as (T & { readonly schema: string })[];
    return Map.groupBy(rows, ({ schema }) => schema);
  }
  const roles = await read<RoleFacts>(rolesSql);
  const schemas = await read<NonNullable<TenantObjects['schema']>>(schemasSql);
  const memberships = await read<Membership>(membershipsSql);
  const grants = await read<GrantDeviation>(grantsSql);
  const foreign = await read<TenantObjects['foreign'][number]>(foreignSql);
  const outside = await read<TenantObjects['outside'][number]>(outsideSql);
  const names = new Set([...roles.keys(), ...schemas.keys(), ...memberships.keys(), ...grants.keys()]);
  return new Map(
    [...names].map((name) => [
      name,
      {
        roles: new Map((roles.get(name) ?? []).map((role) => [role.name, role])),
        schema: schemas.get(name)?.[0] ?? null,
        memberships: memberships.get(name) ?? [],
        grants: grants.get(name) ?? [],
        foreign: foreign.get(name) ?? [],
        outside: outside.get(name) ?? [],
      },
    ]),
  );
}

/** Of a tenant that PostgreSQL has nothing of. */
export const noObjects: TenantObjects = {
  roles: new Map(),
  schema: null,
  memberships: [],
  grants: [],
  foreign: [],
  outside: [],
};
