import type { SqlSession } from '../core/ports.ts';

// Since PostgreSQL 16, who creates a role without being a superuser becomes its administrator for good, by a membership.
// Whatever asks whether somebody is the administrator of a role walks over all memberships of the one who asks: with
// thousands of tenants that would be most of what creating one costs. So the service makes roles that administer a
// bounded number of tenants' roles each, and works as the one that a tenant belongs to (docs/decisions/0010).

/** How many roles one administers, about; a tenant has three and its leases. */
const capacity = 200;

/** As how many the service may act: who has just chosen the newest one is still to act as it when another one follows. */
export const actedAs = 2;

/** The first of the two numbers of the lock under which another one is made. */
const lockClass = 7_243;

/** The role that administers a tenant's roles. Null stands for the service itself, on PostgreSQL 14 and 15. */
export type RoleAdmin = {
  readonly name: string;
  /** Whether the service may act as it; else it takes the right for the transaction. */
  readonly granted: boolean;
} | null;

/** What a worker knows of those who administer, so that it need not ask for each tenant. */
export interface RoleAdmins {
  /** Who administers the roles of the next tenant; made when there is none that has room. */
  next(sql: SqlSession): Promise<RoleAdmin>;
  /** The same as it is now: whether the service may act as it changes when it is no longer among the newest. */
  again(sql: SqlSession, admin: RoleAdmin): Promise<RoleAdmin>;
}

/** How many tenants get the same one before it is asked whether it has room: few, since all workers do so. */
const unasked = 10;

export function createRoleAdmins(registryId: string): RoleAdmins {
  let known: { readonly admin: RoleAdmin; left: number } | undefined;
  const again = async (sql: SqlSession, admin: RoleAdmin): Promise<RoleAdmin> => {
    if (admin === null) return null;
    const [row] = await sql.query(`SELECT ${isGranted('to_regrole($1)')}`, [admin.name]);
    return { name: admin.name, granted: row?.granted === true };
  };
  return {
    again,
    async next(sql) {
      if (known !== undefined && known.left-- > 0) {
        const admin = await again(sql, known.admin);
        if (admin?.granted !== false) return admin;
      }
      const { admin, made } = await nextRoleAdmin(sql, registryId);
      // Until this transaction is committed, one that was made in it is none for others.
      known = made ? undefined : { admin, left: unasked };
      return admin;
    },
  };
}

/**
 * Whether the service is a member of a role; `set_option` is there since PostgreSQL 16. Asked of the catalog: what
 * `pg_has_role` remembers may be older, and who takes a right that is there already takes it away from all afterwards.
 */
const isGranted = (role: string) => `EXISTS (
  SELECT FROM pg_auth_members AS own
  WHERE roleid = ${role} AND member = to_regrole(quote_ident(session_user)) AND (to_jsonb(own) ->> 'set_option')::boolean
) AS granted`;

/** Who administers the roles of a tenant that is there. */
export async function roleAdminOf(sql: SqlSession, registryId: string, owner: string): Promise<RoleAdmin> {
  const [admin] = await sql.query(
    `SELECT member::regrole::text AS name, ${isGranted('membership.member')}
     FROM pg_auth_members AS membership
     WHERE roleid = to_regrole($1) AND admin_option AND starts_with(member::regrole::text, $2)`,
    [owner, roleAdminPrefix(registryId)],
  );
  return admin === undefined ? null : { name: String(admin.name), granted: admin.granted === true };
}

/**
 * The newest one when it has room, or else another one. What a transaction sees of a new role and what it remembers of
 * roles may differ for a moment, while the role's maker commits: then it finds the role and is denied to act as it. So
 * the makers' lock, which they hold longer than that, is held while the newest is looked for.
 */
async function nextRoleAdmin(
  sql: SqlSession,
  registryId: string,
): Promise<{ admin: RoleAdmin; made: boolean }> {
  const lock = [lockClass, registryId];
  const [, newest] = await Promise.all([
    sql.query('SELECT pg_advisory_lock_shared($1, hashtext($2))', lock),
    newestRoleAdmin(sql, registryId),
    sql.query('SELECT pg_advisory_unlock_shared($1, hashtext($2))', lock),
  ]);
  if (newest === null || newest.hasRoom) return { admin: newest?.admin ?? null, made: false };
  await sql.query('SELECT pg_advisory_xact_lock($1, hashtext($2))', lock);
  // The server hears of what others committed when a transaction comes upon a relation for the first time.
  await sql.query('SELECT FROM pg_tablespace LIMIT 0');
  const again = await newestRoleAdmin(sql, registryId);
  if (again === null || again.hasRoom) return { admin: again?.admin ?? null, made: false };
  const nameOf = (number: number) => `${roleAdminPrefix(registryId)}${String(number).padStart(5, '0')}`;
  const number = again.number + 1;
  const name = nameOf(number);
  const retired = number > actedAs ? `REVOKE ${nameOf(number - actedAs)} FROM SESSION_USER;` : '';
  await sql.query(`
    CREATE ROLE ${name} NOLOGIN CREATEROLE;
    COMMENT ON ROLE ${name} IS '${roleAdminMark(registryId)}';
    GRANT ${name} TO SESSION_USER WITH INHERIT FALSE;
    ${retired}`);
  return { admin: { name, granted: true }, made: true };
}

/** SQL before and behind what is done to a tenant's roles, in one transaction with it. */
export function asRoleAdmin(admin: RoleAdmin): { readonly before: string; readonly after: string } {
  if (admin === null) return { before: '', after: '' };
  const { name, granted } = admin;
  return {
    before: `${granted ? '' : `GRANT ${name} TO SESSION_USER WITH INHERIT FALSE; `}SET LOCAL ROLE ${name};\n`,
    after: `\n; RESET ROLE${granted ? '' : `; REVOKE ${name} FROM SESSION_USER`}`,
  };
}

/**
 * SQL that makes the service a member of the tenant's owner, and SQL that ends that; each in a transaction. Memberships
 * that are kept make every later permission check slower.
 */
export function ownership(
  owner: string,
  admin: RoleAdmin,
): { readonly take: string; readonly giveBack: string } {
  const { before, after } = asRoleAdmin(admin);
  const reset = admin === null ? '' : 'RESET ROLE; ';
  return {
    take: `${before}GRANT ${owner} TO SESSION_USER; ${reset}`,
    giveBack: `RESET ROLE; ${admin === null ? '' : `SET LOCAL ROLE ${admin.name}; `}REVOKE ${owner} FROM SESSION_USER${after}`,
  };
}

/** SQL before and behind what the tenant's owner is to do, in one transaction with it. */
export function asOwner(
  owner: string,
  admin: RoleAdmin,
): { readonly before: string; readonly after: string } {
  const { take, giveBack } = ownership(owner, admin);
  return { before: `${take}SET LOCAL ROLE ${owner};\n`, after: `\n; ${giveBack}` };
}

/** The newest one, which may be none yet; null where none is needed. */
async function newestRoleAdmin(
  sql: SqlSession,
  registryId: string,
): Promise<{ admin: RoleAdmin; number: number; hasRoom: boolean } | null> {
  const prefix = roleAdminPrefix(registryId);
  const [row] = await sql.query(
    `SELECT current_setting('server_version_num')::int >= 160000 AS needed, newest.*
     FROM (SELECT) AS server LEFT JOIN LATERAL (
       SELECT role.rolname AS name, (SELECT count(*) FROM pg_auth_members WHERE member = role.oid) < $3 AS "hasRoom",
         ${isGranted('role.oid')}
       FROM pg_roles AS role WHERE role.rolname BETWEEN $1::name AND $2::name
       ORDER BY role.rolname DESC LIMIT 1
     ) AS newest ON true`,
    [`${prefix}00000`, `${prefix}99999`, capacity],
  );
  if (row?.needed !== true) return null;
  if (typeof row.name !== 'string') return { admin: null, number: 0, hasRoom: false };
  return {
    admin: { name: row.name, granted: row.granted === true },
    number: Number(row.name.slice(prefix.length)),
    hasRoom: row.hasRoom === true,
  };
}

/** What the registry writes on them. */
export function roleAdminMark(registryId: string): string {
  return `tenant-management-service registry=${registryId} roles`;
}

/** What the names of those who administer begin with; five digits follow. */
export function roleAdminPrefix(registryId: string): string {
  return `tms_${registryId.replaceAll('-', '')}_roles_`;
}
