import type { SqlSession } from '../core/ports.ts';
import { causesOf, sqlStateOf } from './retry-policy.ts';

// Since PostgreSQL 16, who creates a role without being a superuser becomes its administrator for good, by a membership.
// Whatever asks whether somebody is the administrator of a role walks over all memberships of the one who asks: with
// thousands of tenants that would be most of what creating one costs. So the service makes roles that administer a
// bounded number of tenants' roles each, and works as the one that a tenant belongs to. Those are made by chiefs, of a
// bounded number each, too: whatever concerns an administrator is the chief's work (docs/decisions/0010).

/** The role that administers a tenant's roles. Null stands for the service itself, on PostgreSQL 14 and 15. */
export type RoleAdmin = {
  readonly name: string;
  /** The role that made it, as which the service may act always; null: the service itself. */
  readonly chief: string | null;
  /** Whether the service may act as it; else it takes the right for the transaction. */
  readonly granted: boolean;
} | null;

/**
 * Whether the service is a member of a role; `set_option` is there since PostgreSQL 16. Asked of the catalog: what
 * `pg_has_role` remembers may be older, and who takes a right that is there already takes it away from all afterwards.
 */
export const isGranted = (role: string) => `EXISTS (
  SELECT FROM pg_auth_members AS own
  WHERE roleid = ${role} AND member = to_regrole(quote_ident(session_user)) AND (to_jsonb(own) ->> 'set_option')::boolean
) AS granted`;

/** The chief of an administrator of roles, of whatever registry; null where the service made it. */
export const chiefOf = (role: string) => `(
  SELECT chief.rolname FROM pg_auth_members AS over JOIN pg_roles AS chief ON chief.oid = over.member
  WHERE over.roleid = ${role} AND over.admin_option AND chief.rolname ~ '^tms_[0-9a-f]{32}_chiefs_[0-9]{5}$'
  ORDER BY chief.rolname LIMIT 1
) AS chief`;

/** An administrator from what {@link isGranted} and {@link chiefOf} find. */
export function readRoleAdmin({ name, chief, granted }: Record<string, unknown>): NonNullable<RoleAdmin> {
  return { name: String(name), chief: typeof chief === 'string' ? chief : null, granted: granted === true };
}

/** SQL that makes the session act as the chief of an administrator until the end of the transaction. */
export function asChief({ chief }: Pick<NonNullable<RoleAdmin>, 'chief'>): string {
  return `SET LOCAL ROLE ${chief ?? 'NONE'};`;
}

/** Who administers the roles of a tenant that is there. */
export async function roleAdminOf(sql: SqlSession, registryId: string, owner: string): Promise<RoleAdmin> {
  const [admin] = await sql.query(
    `SELECT member::regrole::text AS name, ${chiefOf('membership.member')}, ${isGranted('membership.member')}
     FROM pg_auth_members AS membership
     WHERE roleid = to_regrole($1) AND admin_option AND starts_with(member::regrole::text, $2)`,
    [owner, roleAdminPrefix(registryId)],
  );
  return admin === undefined ? null : readRoleAdmin(admin);
}

/**
 * Runs a transaction, and once more when the service was denied to act as one of its administrators. It gives that right
 * back when newer ones are made, and that may be between asking for it and using it.
 * @param forget called before the second time: what is remembered of who may act as whom is out of date
 */
export async function againIfDenied<T>(
  registryId: string,
  work: () => Promise<T>,
  forget: () => void = () => {},
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const isDenial = (cause: Error) =>
      sqlStateOf(cause) === '42501' && cause.message.includes(roleAdminPrefix(registryId));
    if (!causesOf(error).some(isDenial)) throw error;
    forget();
    return work();
  }
}

/** SQL before and behind what is done to a tenant's roles, in one transaction with it. */
export function asRoleAdmin(admin: RoleAdmin): { readonly before: string; readonly after: string } {
  if (admin === null) return { before: '', after: '' };
  const { name, granted } = admin;
  return {
    before: `${granted ? '' : `${asChief(admin)} GRANT ${name} TO SESSION_USER WITH INHERIT FALSE; `}SET LOCAL ROLE ${name};\n`,
    after: `\n; ${granted ? '' : `${asChief(admin)} REVOKE ${name} FROM SESSION_USER; `}RESET ROLE`,
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

/**
 * SQL that makes the session the owner's until it ends or resets its role, for a transaction that is committed with it: then
 * nothing of it holds up others. The membership does not outlive the transaction: becoming a role takes it, being one does
 * not. What is set with LOCAL ends with the transaction too, and the owner, which was set without, comes into force.
 */
export function becoming(owner: string, admin: RoleAdmin): string {
  const { take } = ownership(owner, admin);
  const taken = admin?.granted === false ? `${asChief(admin)} REVOKE ${admin.name} FROM SESSION_USER;` : '';
  return `${take}
    SET ROLE ${owner};
    SET LOCAL ROLE ${admin?.name ?? 'NONE'}; REVOKE ${owner} FROM SESSION_USER; ${taken}`;
}

/** What the registry writes on them, and on their chiefs. */
export function roleAdminMark(registryId: string): string {
  return `tenant-management-service registry=${registryId} roles`;
}

/** What the names of those who administer begin with; five digits follow. */
export function roleAdminPrefix(registryId: string): string {
  return `tms_${registryId.replaceAll('-', '')}_roles_`;
}

/** What the names of their chiefs begin with; five digits follow. */
export function chiefPrefix(registryId: string): string {
  return `tms_${registryId.replaceAll('-', '')}_chiefs_`;
}

/** The name of the one with this number, 99,999 at most. */
export function numbered(prefix: string, number: number): string {
  return prefix + String(number).padStart(5, '0');
}

/** The first and the last name that there may be, as PostgreSQL orders them. */
export function allNumbered(prefix: string): readonly [string, string] {
  return [numbered(prefix, 0), numbered(prefix, 99_999)];
}
