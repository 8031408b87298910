import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import type { KeyRing } from '../../src/db/key-ring.ts';

export interface SealedTenant {
  readonly id: string;
  readonly contactEmail: string;
  readonly password: string;
}

/** Stores tenants with addresses and passwords under the ring's first key, as if long ago; every third is deleted. */
export async function storeTenants(pool: pg.Pool, keyRing: KeyRing, count: number): Promise<SealedTenant[]> {
  const tenants = Array.from({ length: count }, () => {
    const id = randomUUID();
    return { id, contactEmail: `owner@${id.slice(0, 8)}.example`, password: `password of ${id}` };
  });
  const ids = tenants.map(({ id }) => id);
  await pool.query(
    `INSERT INTO tenants (id, name, subdomain, contact_email, contact_email_index, version, created_at, updated_at, deleted_at)
     SELECT id, 'Tenant', 't-' || left(id::text, 13), sealed, index, 7, '2001-02-03', '2001-02-03',
       CASE WHEN place % 3 = 0 THEN timestamptz '2002-02-03' END
     FROM unnest($1::uuid[], $2::text[], $3::text[]) WITH ORDINALITY AS row (id, sealed, index, place)`,
    [
      ids,
      tenants.map(({ id, contactEmail }) =>
        keyRing.seal(contactEmail, { tenantId: id, field: 'contactEmail' }),
      ),
      tenants.map(({ contactEmail }) => keyRing.emailIndex(contactEmail)),
    ],
  );
  await pool.query(
    'INSERT INTO tenant_credentials (tenant_id, password) SELECT * FROM unnest($1::uuid[], $2::text[])',
    [ids, tenants.map(({ id, password }) => keyRing.seal(password, { tenantId: id, field: 'appPassword' }))],
  );
  return tenants;
}

/** All tenants as a ring reads them, in the order of their ids. @throws when something does not open */
export async function readTenants(pool: pg.Pool, keyRing: KeyRing): Promise<SealedTenant[]> {
  const { rows } = await pool.query<SealedTenant>(
    `SELECT id, contact_email AS "contactEmail", password
     FROM tenants LEFT JOIN tenant_credentials ON tenant_id = id ORDER BY id`,
  );
  return rows.map(({ id, contactEmail, password }) => ({
    id,
    contactEmail: keyRing.open(contactEmail, { tenantId: id, field: 'contactEmail' }),
    password: password && keyRing.open(password, { tenantId: id, field: 'appPassword' }),
  }));
}

export function inOrder(tenants: readonly SealedTenant[]): SealedTenant[] {
  return tenants.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}
