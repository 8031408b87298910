import type { SqlSession } from '../core/ports.ts';
import {
  allNumbered,
  asChief,
  chiefOf,
  chiefPrefix,
  isGranted,
  numbered,
  type RoleAdmin,
  readRoleAdmin,
  roleAdminMark,
  roleAdminPrefix,
} from './role-admin.ts';

// Whoever makes an administrator of roles walks over the memberships of its chief, so it is made ahead of need, beside the
// tenants that come up. They are filled one behind the other.

/** How many roles one administers, about; a tenant has three and its leases. */
const capacity = 200;

/** How many of those one chief has. Whoever makes a chief walks over all memberships that there are. */
const chiefCapacity = 8;

/** As how many the service may act: the one that is filled, the next one, and the one that somebody has just chosen last. */
export const actedAs = 3;

/** How many tenants get the same one before it is asked whether it has room: few, since all workers do so. */
const unasked = 10;

/** For how long it is taken that the service may act as an administrator that it could act as, milliseconds. */
const freshMs = 100;

/** The first of the two numbers of the lock under which one is made. */
const lockClass = 7_243;

export interface RoleAdminsOptions {
  readonly registryId: string;
  /** Runs `work` in a session of its own, beside everything else, some time soon; it may fail. */
  readonly beside: (work: (session: SqlSession) => Promise<void>) => void;
}

/** What a worker knows of those who administer, so that it need not ask for each tenant. */
export interface RoleAdmins {
  /** Who administers the roles of the next tenant; made when there is none that has room. */
  next(sql: SqlSession): Promise<RoleAdmin>;
  /** The same as it is now: whether the service may act as it changes when it is no longer among the newest. */
  again(sql: SqlSession, admin: RoleAdmin): Promise<RoleAdmin>;
  /** To be called when the service was denied to act as one: what is remembered is out of date. */
  denied(): void;
}

interface Candidate {
  readonly admin: NonNullable<RoleAdmin>;
  readonly number: number;
  readonly members: number;
}

export function createRoleAdmins({ registryId, beside }: RoleAdminsOptions): RoleAdmins {
  const lock = [lockClass, registryId];
  let known: { readonly admin: RoleAdmin; left: number } | undefined;
  let acted: { readonly name: string; readonly at: number } | undefined;

  async function again(sql: SqlSession, admin: RoleAdmin): Promise<RoleAdmin> {
    if (admin === null) return null;
    const { name } = admin;
    const at = performance.now();
    if (acted?.name === name && at - acted.at < freshMs) return { ...admin, granted: true };
    const granted = await mayActAs(sql, name);
    if (granted) acted = { name, at };
    return { ...admin, granted };
  }

  /** The first one with room, and the next one in its place when it is the last. */
  async function choose(sql: SqlSession): Promise<{ admin: RoleAdmin; made: boolean }> {
    let newest = await newestRoleAdmins(sql, registryId);
    if (newest === null) return { admin: null, made: false };
    if ((withRoom(newest)?.members ?? 0) === 0) newest = await newestWhileNoneIsMade(sql);
    const chosen = withRoom(newest);
    if (chosen === undefined) return make(sql, withRoom);
    if (chosen === newest.at(-1)) makeAhead(chosen.admin.name);
    return { admin: chosen.admin, made: false };
  }

  /**
   * What a transaction sees of a new role and what it remembers of roles may differ for a moment, while the role's maker
   * commits: then it finds the role and is denied to act as it. The makers hold their lock longer than that. (Where one
   * has members, that moment is long over.)
   */
  async function newestWhileNoneIsMade(sql: SqlSession): Promise<readonly Candidate[]> {
    const [, newest] = await Promise.all([
      sql.query('SELECT pg_advisory_lock_shared($1, hashtext($2))', lock),
      newestRoleAdmins(sql, registryId),
      sql.query('SELECT pg_advisory_unlock_shared($1, hashtext($2))', lock),
    ]);
    return newest ?? [];
  }

  /** Makes another one unless, by now, there is one that will do. */
  async function make(
    sql: SqlSession,
    thatWillDo: (newest: readonly Candidate[]) => Candidate | undefined,
  ): Promise<{ admin: RoleAdmin; made: boolean }> {
    await sql.query('SELECT pg_advisory_xact_lock($1, hashtext($2))', lock);
    // The server hears of what others committed when a transaction comes upon a relation for the first time.
    await sql.query('SELECT FROM pg_tablespace LIMIT 0');
    const newest = (await newestRoleAdmins(sql, registryId)) ?? [];
    const existing = thatWillDo(newest);
    if (existing !== undefined) return { admin: existing.admin, made: false };
    const nameOf = (number: number) => numbered(roleAdminPrefix(registryId), number);
    const number = (newest.at(-1)?.number ?? 0) + 1;
    const admin = { name: nameOf(number), chief: await chiefWithRoom(sql), granted: true };
    await sql.query(`
      ${asChief(admin)}
      CREATE ROLE ${admin.name} NOLOGIN CREATEROLE;
      COMMENT ON ROLE ${admin.name} IS '${roleAdminMark(registryId)}';
      GRANT ${admin.name} TO SESSION_USER WITH INHERIT FALSE;
      ${await retiring(sql, nameOf(number - actedAs))}
      RESET ROLE`);
    return { admin, made: true };
  }

  /** The newest chief if it will do, or one more. It lets the service act as itself; nobody else is asked for that. */
  async function chiefWithRoom(sql: SqlSession): Promise<string> {
    const prefix = chiefPrefix(registryId);
    const [newest] = await sql.query(
      `SELECT rolname AS name, rolcreaterole AND shobj_description(role.oid, 'pg_authid') = $3 AS own,
         (SELECT count(*)::int FROM pg_auth_members WHERE member = role.oid) AS members, ${isGranted('role.oid')}
       FROM pg_roles AS role WHERE rolname BETWEEN $1::name AND $2::name ORDER BY rolname DESC LIMIT 1`,
      [...allNumbered(prefix), roleAdminMark(registryId)],
    );
    const willDo = newest?.own === true && newest.granted === true && Number(newest.members) < chiefCapacity;
    if (willDo) return String(newest.name);
    const name = numbered(prefix, numberOf(prefix, newest?.name) + 1);
    await sql.query(`
      SET LOCAL createrole_self_grant TO 'set';
      CREATE ROLE ${name} NOLOGIN CREATEROLE;
      SET LOCAL createrole_self_grant TO '';
      COMMENT ON ROLE ${name} IS '${roleAdminMark(registryId)}'`);
    return name;
  }

  /** SQL that gives back the right to act as an administrator, if there is one and its chief can take it. */
  async function retiring(sql: SqlSession, name: string): Promise<string> {
    const [found] = await sql.query(
      `SELECT rolname AS name, ${chiefOf('role.oid')}, ${isGranted('role.oid')} FROM pg_roles AS role WHERE rolname = $1`,
      [name],
    );
    if (found === undefined) return '';
    const retired = readRoleAdmin(found);
    if (!retired.granted || (retired.chief !== null && !(await mayActAs(sql, retired.chief)))) return '';
    return `${asChief(retired)} REVOKE ${name} FROM SESSION_USER;`;
  }

  /** Makes the one that comes behind the last; if that fails, whoever needs it makes it. */
  function makeAhead(last: string): void {
    beside(async (session) => {
      await session.query('BEGIN');
      await make(session, (newest) => (newest.at(-1)?.admin.name === last ? undefined : newest.at(-1)));
      await session.query('COMMIT');
    });
  }

  return {
    again,
    denied() {
      acted = undefined;
      known = undefined;
    },
    async next(sql) {
      if (known !== undefined && known.left-- > 0) {
        const admin = await again(sql, known.admin);
        if (admin?.granted !== false) return admin;
      }
      const { admin, made } = await choose(sql);
      // Until this transaction is committed, one that was made in it is none for others.
      known = made ? undefined : { admin, left: unasked };
      return admin;
    },
  };
}

async function mayActAs(sql: SqlSession, role: string): Promise<boolean> {
  const [row] = await sql.query(`SELECT ${isGranted('to_regrole($1)')}`, [role]);
  return row?.granted === true;
}

function withRoom(newest: readonly Candidate[]): Candidate | undefined {
  return newest.find(({ admin, members }) => admin.granted && members < capacity);
}

/** The number in a name; 0 where there is none. */
function numberOf(prefix: string, name: unknown): number {
  return typeof name === 'string' ? Number(name.slice(prefix.length)) : 0;
}

/** The newest two, the newer one last; null where none is needed, on PostgreSQL 14 and 15. */
async function newestRoleAdmins(sql: SqlSession, registryId: string): Promise<readonly Candidate[] | null> {
  const prefix = roleAdminPrefix(registryId);
  const rows = await sql.query(
    `SELECT current_setting('server_version_num')::int >= 160000 AS needed, newest.*
     FROM (SELECT) AS server LEFT JOIN LATERAL (
       SELECT role.rolname AS name, (SELECT count(*)::int FROM pg_auth_members WHERE member = role.oid) AS members,
         ${chiefOf('role.oid')}, ${isGranted('role.oid')}
       FROM pg_roles AS role WHERE role.rolname BETWEEN $1::name AND $2::name
       ORDER BY role.rolname DESC LIMIT 2
     ) AS newest ON true`,
    allNumbered(prefix),
  );
  if (rows[0]?.needed !== true) return null;
  return rows
    .filter(({ name }) => name !== null)
    .map((row) => ({
      admin: readRoleAdmin(row),
      number: numberOf(prefix, row.name),
      members: Number(row.members),
    }))
    .reverse();
}
