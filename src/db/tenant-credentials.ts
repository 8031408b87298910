import { randomBytes } from 'node:crypto';
import type { SqlSession } from '../core/ports.ts';
import type { KeyRing } from './key-ring.ts';

/**
 * The function that answers the password of a tenant's `…_app` login, and makes one when there is none: 256 random
 * bits in base64url, stored under the key ring.
 */
export function createTenantCredentials(keyRing: KeyRing) {
  return async (sql: SqlSession, tenantId: string): Promise<string> => {
    const context = { tenantId, field: 'appPassword' };
    const password = randomBytes(32).toString('base64url');
    const [stored] = await sql.query(
      `WITH made AS (
         INSERT INTO tenant_credentials (tenant_id, password) VALUES ($1, $2) ON CONFLICT DO NOTHING RETURNING password
       )
       SELECT password FROM made UNION ALL SELECT password FROM tenant_credentials WHERE tenant_id = $1`,
      [tenantId, keyRing.seal(password, context)],
    );
    if (typeof stored?.password !== 'string') throw new Error('the tenant has no stored password');
    return keyRing.open(stored.password, context);
  };
}
