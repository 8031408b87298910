import { InvalidStateError, UnavailableError } from '../core/errors.ts';
import type { LeaseRoles, SqlSession } from '../core/ports.ts';
import { againIfDenied, asRoleAdmin, roleAdminOf } from './role-admin.ts';
import { scramVerifier } from './scram.ts';
import { StepError } from './step.ts';
import { leaseLogin, ownershipMark, type TenantNames, tenantNames } from './tenant-names.ts';
import { endSessions, terminate } from './tenant-sessions.ts';

const stateSql = `
SELECT quote_ident(current_database()) AS database,
  shobj_description(to_regrole($2), 'pg_authid') = $3 AS "hasRights",
  ARRAY(SELECT setdatabase || ' ' || setconfig::text FROM pg_db_role_setting WHERE setrole = login.oid) = ARRAY[$4] AS "hasSettings",
  login.oid IS NOT NULL AS "isThere", login.rolcanlogin AS "canLogIn", shobj_description(login.oid, 'pg_authid') = $3 AS own
FROM (SELECT) AS server LEFT JOIN pg_roles AS login ON login.rolname = $1`;

const loggedInSql = `
SELECT array_agg(pid) AS pids, array_agg(login.rolname::text) AS logins
FROM pg_stat_activity JOIN pg_roles AS login ON login.oid = usesysid
WHERE login.rolname ~ '^tenant_[0-9a-f]{32}_l[0-9]+$' AND starts_with(shobj_description(login.oid, 'pg_authid'), $1)`;

// A statement of its own: it sees the leases of all who were seen to be logged in.
const straysSql = `
SELECT pg_terminate_backend(pid) FROM unnest($1::int[], $2::text[]) AS seen (pid, login) JOIN pg_stat_activity USING (pid)
WHERE usename = login
  AND NOT EXISTS (SELECT FROM leases WHERE ended_at IS NULL AND format('tenant_%s_l%s', replace(tenant_id::text, '-', ''), slot) = login)`;

/** The logins of leases: one per slot, made when it is first needed, and reused. */
export function createLeaseRoles(registryId: string): LeaseRoles {
  const target = ({ tenantId, slot }: { readonly tenantId: string; readonly slot: number }) => {
    const names = tenantNames(tenantId);
    return { names, login: leaseLogin(names, slot), mark: ownershipMark(registryId, tenantId) };
  };
  /** In one round trip. */
  async function stateOf(sql: SqlSession, { names, login, mark }: ReturnType<typeof target>) {
    const [admin, [state]] = await Promise.all([
      roleAdminOf(sql, registryId, names.owner),
      sql.query(stateSql, [login, names.rows, mark, `0 {search_path=${names.schema}}`]),
    ]);
    return { admin, state };
  }

  return {
    againIfDenied: (work) => againIfDenied(registryId, work),
    async open(sql, { password, expiresAt, ...slot }) {
      const of = target(slot);
      const { names, login, mark } = of;
      const [verifier, { admin, state }] = await Promise.all([
        scramVerifier(password),
        stateOf(sql, of),
        // Who was just logging in when the last lease ended; the one connection is the next one's.
        terminate(sql, { first: login, last: login, mark }),
      ]);
      if (state?.hasRights !== true) {
        throw new InvalidStateError(
          `The role ${names.rows} is missing or not this registry's; the tenant was made by an earlier version, or changed since.`,
        );
      }
      if (state.isThere === true && state.own !== true) {
        throw new InvalidStateError(`The role ${login} exists and is not this registry's.`);
      }
      const { before, after } = asRoleAdmin(admin);
      const statements = [
        ...(state.isThere === true ? [] : creating(login, names, mark)),
        ...(state.hasSettings === true ? [] : settings(login, names, state.database)),
        `ALTER ROLE ${login} LOGIN CONNECTION LIMIT 1 PASSWORD '${verifier}' VALID UNTIL '${expiresAt.toISOString()}'`,
      ];
      return {
        username: login,
        schema: names.schema,
        opening: `${before}${statements.join(';\n')}${after}`,
      };
    },
    async close(sql, slot) {
      const of = target(slot);
      const { admin, state } = await stateOf(sql, of);
      if (state?.own !== true || state.canLogIn !== true) return null;
      const { before, after } = asRoleAdmin(admin);
      return `${before}ALTER ROLE ${of.login} NOLOGIN${after}`;
    },
    async endSessions(sql, slot) {
      const { login, mark } = target(slot);
      await endSessions(sql, { first: login, last: login, mark }).catch((error) => {
        // Not the caller's fault, and worth another try.
        throw error instanceof StepError ? new UnavailableError({ cause: error }) : error;
      });
    },
    async endStrays(sql) {
      const [loggedIn] = await sql.query(loggedInSql, [ownershipMark(registryId, '')]);
      if (!loggedIn?.pids) return 0;
      return (await sql.query(straysSql, [loggedIn.pids, loggedIn.logins])).length;
    },
  };
}

function creating(login: string, { rows }: TenantNames, mark: string): string[] {
  return [`CREATE ROLE ${login} IN ROLE ${rows}`, `COMMENT ON ROLE ${login} IS '${mark}'`];
}

/** The search path alone. A role may change its own settings: what the last holder left would be the next one's. */
function settings(login: string, { schema }: TenantNames, database: unknown): string[] {
  return [
    `ALTER ROLE ${login} RESET ALL`,
    `ALTER ROLE ${login} IN DATABASE ${database} RESET ALL`,
    `ALTER ROLE ${login} SET search_path TO ${schema}`,
  ];
}
