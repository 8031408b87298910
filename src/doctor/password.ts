import type { SqlSession } from '../core/ports.ts';
import { hasCode } from '../db/error-code.ts';
import { type KeyRing, MissingKeyError } from '../db/key-ring.ts';
import { createTenantCredentials } from '../db/tenant-credentials.ts';
import { type TenantServer, withTenantSession } from '../pools/tenant-session.ts';
import { scramVerifier } from '../workers/scram.ts';
import { type Finding, verifierMark } from './finding.ts';
import { mayLogIn } from './tenant-checks.ts';
import type { TenantFacts } from './tenant-facts.ts';

const contextOf = (tenantId: string) => ({ tenantId, field: 'appPassword' });

export interface LoginOptions {
  readonly keyRing: KeyRing;
  readonly server: TenantServer;
  readonly pooler: Pick<TenantServer, 'host' | 'port'> | null;
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
  const wrong = (what: string): Finding => ({
    check,
    what,
    remedy: { as: 'role admin', sql: `ALTER ROLE ${names.app} PASSWORD '${verifierMark}'`, ends: names.app },
  });
  let tried: string | null = null;
  for (;;) {
    const [stored] = await sql.query('SELECT password FROM tenant_credentials WHERE tenant_id = $1', [id]);
    if (stored === undefined) return [wrong(`there is no stored password of ${names.app}`)];
    let password: string;
    try {
      password = keyRing.open(String(stored.password), contextOf(id));
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

/** Stores a new password of the tenant's login. @returns its verifier, for the same transaction */
export async function replacePassword(sql: SqlSession, keyRing: KeyRing, tenantId: string): Promise<string> {
  await sql.query('DELETE FROM tenant_credentials WHERE tenant_id = $1', [tenantId]);
  return scramVerifier(await createTenantCredentials(keyRing)(sql, tenantId));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
