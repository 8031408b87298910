import { roleAdminPrefix } from '../workers/role-admin.ts';
import { isLeaseLogin } from '../workers/tenant-names.ts';
import { databaseMark, type Finding, type Repair, verifierMark } from './finding.ts';
import { deviationRepair, deviationText } from './grants.ts';
import type { Membership, RoleFacts, TenantFacts } from './tenant-facts.ts';

/** What all tenants are measured by. */
export interface Standard {
  readonly registryId: string;
  /** The version of the newest tenant migration. */
  readonly newestVersion: number;
}

interface Check {
  readonly name: string;
  /** What it finds, in the order in which it is to be mended. */
  find(tenant: TenantFacts, standard: Standard): Iterable<Omit<Finding, 'check'>>;
}

const handsOff = 'it is left alone; if it is this registry’s all the same, give it that comment';

/** In the order in which what they find is mended: roles, what they are members of, what they may do. */
const checks: readonly Check[] = [
  {
    name: 'marks',
    *find({ names, mark, objects }) {
      for (const role of objects.roles.values()) {
        if (role.mark !== mark)
          yield { what: `the role ${role.name} does not carry "${mark}"`, remedy: handsOff };
      }
      if (objects.schema !== null && objects.schema.mark !== mark)
        yield { what: `the schema ${names.schema} does not carry "${mark}"`, remedy: handsOff };
    },
  },
  {
    name: 'schema',
    *find(tenant) {
      const { names, objects } = tenant;
      if (!isProvisioned(tenant)) return;
      if (objects.schema === null) {
        yield { what: `the schema ${names.schema} is missing`, remedy: 'restore it from a backup' };
      } else if (objects.schema.owner !== names.owner) {
        yield {
          what: `the schema ${names.schema} belongs to ${objects.schema.owner}`,
          remedy: `an administrator can: ALTER SCHEMA ${names.schema} OWNER TO ${names.owner}`,
        };
      }
      for (const { object, owner } of objects.foreign) {
        yield {
          what: `${object} belongs to ${owner}`,
          remedy: `an administrator can give it to ${names.owner}`,
        };
      }
    },
  },
  {
    name: 'version',
    *find(tenant, { newestVersion }) {
      const { schemaVersion, deleted } = tenant;
      if (!isProvisioned(tenant) || deleted || schemaVersion === newestVersion) return;
      yield schemaVersion < newestVersion
        ? {
            what: `its schema is at version ${schemaVersion} of ${newestVersion}`,
            remedy: 'an operation that applies migrations brings it further: docs/tenant-migrations.md',
          }
        : {
            what: `its schema is at version ${schemaVersion}, and there are files up to ${newestVersion}`,
            remedy: 'give the workers’ files by --tenant-migrations',
          };
    },
  },
  {
    name: 'roles',
    *find(tenant) {
      const { names, mark, objects } = tenant;
      if (!isProvisioned(tenant)) return;
      const make = (role: string, options: string): Repair => ({
        as: 'role admin',
        sql: `CREATE ROLE ${role} ${options}; COMMENT ON ROLE ${role} IS '${mark}'`,
      });
      if (!objects.roles.has(names.owner)) {
        yield { what: `the role ${names.owner} is missing`, remedy: 'restore it from a backup' };
        return;
      }
      if (!objects.roles.has(names.rows)) {
        yield { what: `the role ${names.rows} is missing`, remedy: make(names.rows, 'NOLOGIN') };
      }
      if (!objects.roles.has(names.app)) {
        const login = mayLogIn(tenant) ? 'LOGIN' : 'NOLOGIN';
        const { as, sql } = make(names.app, `${login} PASSWORD '${verifierMark}'`);
        const settings = `ALTER ROLE ${names.app} SET search_path TO ${names.schema}`;
        yield { what: `the role ${names.app} is missing`, remedy: { as, sql: `${sql}; ${settings}` } };
      }
    },
  },
  {
    name: 'attributes',
    *find(tenant) {
      for (const role of tenant.objects.roles.values()) yield* attributesOf(role, tenant);
    },
  },
  {
    name: 'settings',
    *find({ names, objects }) {
      const due = [`search_path=${names.schema}`];
      for (const { name, settings } of objects.roles.values()) {
        // Those of a role that cannot log in apply to no session; a lease's are made anew with each lease.
        if (name !== names.app || sameTexts(settings, due)) continue;
        yield {
          what: `the settings of ${name} are ${settings.join('; ') || 'none'}, not ${due.join()}`,
          remedy: {
            as: 'role admin',
            sql: `ALTER ROLE ${name} RESET ALL; ALTER ROLE ${name} IN DATABASE ${databaseMark} RESET ALL; ALTER ROLE ${name} SET search_path TO ${names.schema}`,
          },
        };
      }
    },
  },
  {
    name: 'memberships',
    *find(tenant, { registryId }) {
      const { names, objects } = tenant;
      const { roles, memberships } = objects;
      const isLogin = (role: string) => role === names.app || isLeaseLogin(names, role);
      const isDue = ({ role, member, admin, inherits }: Membership) =>
        role === names.rows && isLogin(member) && !admin && inherits;
      for (const membership of memberships) {
        const { role, member, admin } = membership;
        if (isDue(membership) || (admin && isRoleAdmin(member, registryId))) continue;
        const sql = `REVOKE ${quoted(role)} FROM ${quoted(member)}`;
        yield {
          what: `${member} is a member of ${role}${admin ? ' and may pass that on' : ''}`,
          remedy: { as: 'role admin', sql },
        };
      }
      // The one that is missing is made before this is mended.
      const logins = new Set([...roles.keys()].filter(isLogin));
      if (isProvisioned(tenant) && roles.has(names.owner)) logins.add(names.app);
      for (const name of logins) {
        if (memberships.some((each) => each.member === name && isDue(each))) continue;
        const sql = `GRANT ${names.rows} TO ${name}`;
        yield { what: `${name} is not a member of ${names.rows}`, remedy: { as: 'role admin', sql } };
      }
    },
  },
  {
    name: 'grants',
    *find(tenant) {
      const { names, objects } = tenant;
      if (!isProvisioned(tenant)) return;
      for (const grant of objects.grants) {
        yield { what: deviationText(grant), remedy: deviationRepair(names.owner, grant) };
      }
    },
  },
  {
    name: 'rights elsewhere',
    *find({ objects }) {
      for (const { role, object, owns } of objects.outside) {
        yield owns
          ? { what: `${role} owns ${object}`, remedy: 'an administrator can give it to somebody else' }
          : { what: `${role} has rights on ${object}`, remedy: 'who granted them can revoke them' };
      }
    },
  },
  {
    name: 'leases',
    *find(tenant) {
      const { names, objects, slots } = tenant;
      for (const { name, canLogIn, connectionLimit } of objects.roles.values()) {
        if (!isLeaseLogin(names, name) || !canLogIn) continue;
        const slot = Number(name.slice(names.schema.length + 2));
        const why = !slots.includes(slot)
          ? 'no lease is on it'
          : mayLogIn(tenant)
            ? null
            : 'the tenant may not';
        if (why !== null) {
          yield {
            what: `${name} may log in, and ${why}`,
            remedy: { as: 'role admin', sql: `ALTER ROLE ${name} NOLOGIN`, ends: name },
          };
        } else if (connectionLimit !== 1) {
          yield {
            what: `${name} may have ${connectionLimit === -1 ? 'any number of' : connectionLimit} connections`,
            remedy: { as: 'role admin', sql: `ALTER ROLE ${name} CONNECTION LIMIT 1` },
          };
        }
      }
    },
  },
];

/** Whether the tenant came up; one that was deleted has kept what it had. */
export function isProvisioned({ status }: TenantFacts): boolean {
  return status === 'ACTIVE' || status === 'INACTIVE';
}

/** Whether the tenant's logins are open. */
export function mayLogIn({ status, deleted }: TenantFacts): boolean {
  return status === 'ACTIVE' && !deleted;
}

/** Why nothing is said of the tenant; null when it is to be checked. */
export function reasonToSkip({ operation }: TenantFacts): string | null {
  if (operation === null) return null;
  const { kind, state } = operation;
  if (state === 'PENDING' || state === 'RUNNING') return `its ${kind} is not finished`;
  return state === 'FAILED' ? `its ${kind} failed: retryOperation or cancelOperation comes first` : null;
}

/** All that is wrong with a tenant, in the order in which it is to be mended. */
export function findingsOf(tenant: TenantFacts, standard: Standard): Finding[] {
  const found = checks.flatMap(({ name, find }) =>
    [...find(tenant, standard)].map((finding) => ({ check: name, ...finding })),
  );
  // Where something under the tenant's names is not this registry's, nobody can say what the rest should be.
  if (!found.some(({ check }) => check === 'marks')) return found;
  return found.map((finding) =>
    typeof finding.remedy === 'string'
      ? finding
      : {
          ...finding,
          remedy: 'it is left alone, since not all under this tenant’s names is this registry’s',
        },
  );
}

function* attributesOf(role: RoleFacts, tenant: TenantFacts): Generator<Omit<Finding, 'check'>> {
  const { names } = tenant;
  const { name, powers, canLogIn, inherits, connectionLimit, expired } = role;
  const alter = (options: string): Repair => ({ as: 'role admin', sql: `ALTER ROLE ${name} ${options}` });
  for (const power of powers) yield { what: `${name} is ${power}`, remedy: alter(`NO${power}`) };
  if (name === names.owner || name === names.rows) {
    if (canLogIn) yield { what: `${name} may log in`, remedy: { ...alter('NOLOGIN'), ends: name } };
    return;
  }
  if (!inherits)
    yield { what: `${name} does not inherit the rights of ${names.rows}`, remedy: alter('INHERIT') };
  if (name !== names.app) return;
  if (canLogIn && !mayLogIn(tenant))
    yield { what: `${name} may log in, and the tenant may not`, remedy: { ...alter('NOLOGIN'), ends: name } };
  if (!isProvisioned(tenant)) return;
  if (!canLogIn && mayLogIn(tenant)) yield { what: `${name} may not log in`, remedy: alter('LOGIN') };
  if (expired) yield { what: `${name} is no longer valid`, remedy: alter(`VALID UNTIL 'infinity'`) };
  if (connectionLimit !== -1)
    yield {
      what: `${name} may have ${connectionLimit} connections only`,
      remedy: alter('CONNECTION LIMIT -1'),
    };
}

/** Those who administer this registry's roles (workers/role-admin.ts). */
function isRoleAdmin(role: string, registryId: string): boolean {
  return role.startsWith(roleAdminPrefix(registryId));
}

function sameTexts(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && some.every((text, index) => text === others[index]);
}

function quoted(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}
