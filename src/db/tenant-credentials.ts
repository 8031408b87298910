import { randomBytes } from 'node:crypto';
import type { SqlSession } from '../core/ports.ts';
import type { KeyRing } from './key-ring.ts';

/**
 * The function that answers the password of a tenant's `…_app` login, and makes one when there is none: 256 random
 * bits in base64url, stored under the key ring.
 */
export function createTenantCredentials(keyRing: KeyRing) {
  return async (sql: SqlSession, tenantId: string): Promise<string> => {
    const password = newPassword();
    const made = await sql.query(
      `INSERT INTO tenant_credentials (tenant_id, password) VALUES ($1, $2)
       ON CONFLICT DO NOTHING RETURNING true AS made`,
      [tenantId, sealPassword(keyRing, tenantId, password)],
    );
    if (made.length > 0) return password;
    const [stored] = await sql.query('SELECT password FROM tenant_credentials WHERE tenant_id = $1', [
      tenantId,
    ]);
    if (typeof stored?.password !== 'string') throw new Error('the tenant has no stored password');
    return openPassword(keyRing, tenantId, stored.password);
  };
}

/** Stores another password for a tenant's `…_app` login, and answers it. */
export async function replacePassword(sql: SqlSession, keyRing: KeyRing, tenantId: string): Promise<string> {
  const password = newPassword();
  await sql.query(
    `INSERT INTO tenant_credentials (tenant_id, password) VALUES ($1, $2)
     ON CONFLICT (tenant_id) DO UPDATE SET password = excluded.password`,
    [tenantId, sealPassword(keyRing, tenantId, password)],
  );
  return password;
}

/** The password of a tenant's `…_app` login, as it is stored. @throws what `KeyRing.open` throws */
export function openPassword(keyRing: KeyRing, tenantId: string, sealed: string): string {
  return keyRing.open(sealed, contextOf(tenantId));
}

function sealPassword(keyRing: KeyRing, tenantId: string, password: string): string {
  return keyRing.seal(password, contextOf(tenantId));
}

function newPassword(): string {
  return randomBytes(32).toString('base64url');
}

function contextOf(tenantId: string) {
  return { tenantId, field: 'appPassword' };
}
