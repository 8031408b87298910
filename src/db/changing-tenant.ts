import type pg from 'pg';
import type { TenantCache } from '../core/tenant-cache.ts';

/** What a worker changes of a tenant itself. */
const statements = {
  status: 'UPDATE tenants SET status = $2::tenant_status WHERE id = $1::uuid RETURNING version',
  schemaVersion: 'UPDATE tenants SET schema_version = $2::int WHERE id = $1::uuid RETURNING version',
};

/** The tenant whose operation is recorded, in the transaction of the record. */
export interface ChangingTenant {
  /** Fulfilled when it is done; whoever does not wait for it waits for `done`. */
  set(column: keyof typeof statements, value: string | number): Promise<void>;
  /** Fulfilled when all is done that was set. */
  done(): Promise<void>;
  /** To be called when that is committed. */
  committed(): void;
}

/** Changes a tenant on `client`, and lets nobody remember it as it was. */
export function changingTenant(
  client: pg.PoolClient,
  tenantId: string,
  cache: Pick<TenantCache, 'outdate'>,
): ChangingTenant {
  const sent: Promise<void>[] = [];
  let version: number | null = null;

  async function run(column: keyof typeof statements, value: string | number): Promise<void> {
    const { rows } = await client.query<{ version: number }>({
      name: `set_${column}`,
      text: statements[column],
      values: [tenantId, value],
    });
    version = rows[0]?.version ?? null;
  }

  return {
    set(column, value) {
      cache.outdate(tenantId, null);
      const setting = run(column, value);
      // It is awaited at the end of the transaction, if that is reached.
      setting.catch(() => {});
      sent.push(setting);
      return setting;
    },
    async done() {
      await Promise.all(sent);
    },
    committed() {
      if (version !== null) cache.outdate(tenantId, version);
    },
  };
}
