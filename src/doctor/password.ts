import type { SqlSession } from '../core/ports.ts';
import { hasCode } from '../db/error-code.ts';
import { type KeyRing, MissingKeyError } from '../db/key-ring.ts';
import { openPassword } from '../db/tenant-credentials.ts';
import { type TenantServer, withTenantSession } from '../pools/tenant-session.ts';
import type { TenantNames } from '../workers/tenant-names.ts';
import { type Finding, type Repair, verifierMark } from './finding.ts';
import { mayLogIn } from './tenant-checks.ts';
import type { TenantFacts } from './tenant-facts.ts';

export interface LoginOptions {
  readonly keyRing: KeyRing;
  readonly server: TenantServer;
  readonly pooler: Pick<TenantServer, 'host' | 'port'> | null;
}

/** Gives the tenant's `…_app` login another password; who was logged in with the old one is not any more. */
export function passwordRotation({ app }: Pick<TenantNames, 'app'>): Repair {
  return { as: 'role admin', sql: `ALTER ROLE ${app} PASSWORD '${verifierMark}'`, ends: app };
}

/**
 * Logs in as the tenant does, with the password that is stored, through the pooler too when there is one. Not for a role
 * that may not log in or is somebody else's: that is said already.
 */
export async function loginFindings(
  sql: SqlSession,
  { keyRing, server, pooler }: LoginOptions,
  tenant: TenantFacts,
): Promise<readonly Finding[]> {
  const { id, names, mark, objects } = tenant;
  const role = objects.roles.get(names.app);
  if (!mayLogIn(tenant) || role?.canLogIn !== true || role.expired || role.mark !== mark) return [];
  const check = 'login';
  const wrong = (what: string): Finding => ({ check, what, remedy: passwordRotation(names) });
  let tried: string | null = null;
  for (;;) {
    const [stored] = await sql.query('SELECT password FROM tenant_credentials WHERE tenant_id = $1', [id]);
    if (stored === undefined) return [wrong(`there is no stored password of ${names.app}`)];
    let password: string;
    try {
      password = openPassword(keyRing, id, String(stored.password));
    } catch (error) {
      const finding = wrong(`the stored password of ${names.app} cannot be read: ${messageOf(error)}`);
      return [error instanceof MissingKeyError ? { ...finding, remedy: 'with that key it can' } : finding];
    }
    const refusal = await refusalBy(server, names.app, password);
    if (refusal === null)
      return pooler === null ? [] : poolerFindings({ ...server, ...pooler }, names.app, password);
    if (!hasCode(refusal, '28P01')) {
      const what = `${names.app} is not let in: ${messageOf(refusal)}`;
      return [{ check, what, remedy: 'pg_hba.conf and the limits of connections decide that' }];
    }
    if (tried === password) return [wrong(`the stored password of ${names.app} is not the role’s`)];
    // Another one may have been stored between the two looks.
    tried = password;
  }
}

async function poolerFindings(pooler: TenantServer, user: string, password: string): Promise<Finding[]> {
  const refusal = await refusalBy(pooler, user, password);
  if (refusal === null) return [];
  const what = `the pooler at ${pooler.host}:${pooler.port} does not let ${user} in: ${messageOf(refusal)}`;
  return [{ check: 'pooler', what, remedy: 'docs/pgbouncer.md says how it is set up' }];
}

/** What a login fails with; null when it succeeds. */
async function refusalBy(server: TenantServer, user: string, password: string): Promise<unknown> {
  try {
    await withTenantSession(server, user, password, (session) => session.query('SELECT'));
    return null;
  } catch (error) {
    return error;
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
