import type pg from 'pg';
import type { Tenant } from '../core/model.ts';
import type { Registry } from '../core/ports.ts';
import { createTenant } from './create-tenant.ts';
import { lostToAnother, reachingDatabase } from './errors.ts';
import { createTenantLookup } from './find-tenant.ts';
import type { KeyRing } from './key-ring.ts';
import { liveOrDeleted } from './middleware/soft-delete.ts';
import { operationPage } from './operation-page.ts';
import type { RegistryClient } from './prisma-client.ts';
import { createRegistryTransaction } from './registry-transaction.ts';
import { createTenantPages, type ListedTenant } from './tenant-page.ts';

export interface RegistryOptions {
  readonly client: RegistryClient;
  readonly pool: pg.Pool;
  readonly keyRing: KeyRing;
}

/** How often a transaction is begun that PostgreSQL ends for the sake of others. */
const attempts = 3;

/** The registry on PostgreSQL: Prisma with its extensions, and plain SQL where one statement does it all. */
export function createRegistry({ client, pool, keyRing }: RegistryOptions): Registry {
  const pages = createTenantPages(pool, keyRing);

  /** The same tenants in the same order, with what is selected beside their own columns; none is ever removed. */
  async function selected(tenants: readonly ListedTenant[], selection: object): Promise<Tenant[]> {
    const ids = tenants.map(({ id }) => id);
    const rows = await reachingDatabase(() =>
      client.tenant.findMany({ ...selection, where: { AND: [{ id: { in: ids } }, liveOrDeleted] } }),
    );
    const byId = new Map(rows.map((row) => [row.id, row]));
    return tenants.flatMap(({ operation: _, ...columns }) => {
      const row = byId.get(columns.id);
      // As they were when the page was read: the filter and the cursors are about these.
      return row === undefined ? [] : [Object.assign(row, columns)];
    });
  }

  return {
    create: (tenant) => reachingDatabase(() => createTenant(pool, keyRing, tenant)),
    ...createTenantLookup(pool),
    async list(query, selection) {
      const page = await pages.read(query);
      if (selection === null) return page;
      return { tenants: await selected(page.tenants, selection), revision: null };
    },
    revision: pages.revision,
    findOperation: (id) => reachingDatabase(() => client.operation.findFirst({ where: { id } })),
    listOperations: (tenantId, page, selection) =>
      reachingDatabase(() => client.operation.findMany({ ...selection, ...operationPage(tenantId, page) })),
    findIdempotencyKey: (subject, key) =>
      reachingDatabase(async () => {
        // A key that has run out is as good as none, and would be in the way of its next use.
        await pool.query(
          'DELETE FROM idempotency_keys WHERE subject = $1 AND key = $2 AND expires_at <= now()',
          [subject, key],
        );
        return client.idempotencyKey.findUnique({
          where: { subject_key: { subject, key } },
          select: { inputHash: true, tenantId: true },
        });
      }),
    transaction: (work) =>
      reachingDatabase(() =>
        repeating(() => client.$transaction((transaction) => work(createRegistryTransaction(transaction)))),
      ),
  };
}

/**
 * Two renames that swap their subdomains wait for each other, and PostgreSQL ends one. It is told how the other one
 * ended when it begins again.
 */
async function repeating<T>(transaction: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await transaction();
    } catch (error) {
      if (attempt === attempts || !lostToAnother(error)) throw error;
    }
  }
}
