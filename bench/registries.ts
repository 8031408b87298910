import type { Cluster } from './cluster.ts';
import { housekeep } from './existing-tenants.ts';
import { startService } from './service.ts';

/** Tenants of the two registries that rows begin with. */
export const small = 100;
export const large = 10_000;

const atOnce = 32;

// What a worker leaves behind when it has provisioned all of them, without their schemas: the rows here have to do with
// the registry alone, and ten thousand schemas take many minutes.
const provisionedSql = `
  UPDATE operations SET state = 'SUCCEEDED', attempt = 1, fence = 1, started_at = created_at, finished_at = created_at
    WHERE state = 'PENDING';
  UPDATE operation_steps SET status = 'SUCCESS', started_at = now(), finished_at = now() WHERE status = 'PENDING';
  UPDATE tenants SET status = 'ACTIVE', schema_version = 1 WHERE status = 'PROVISIONING';
  DELETE FROM graphile_worker._private_jobs;`;

/** Registries of a cluster with tenants in them, from which each row takes copies. */
export interface Registries {
  /** A database of the service's role with `tenants` active tenants, and their ids in the order of creation. */
  copy(tenants: typeof small | typeof large): Promise<{ database: string; ids: readonly string[] }>;
}

/** Makes them by the service itself, each when a row first asks for it. */
export function createRegistries(cluster: Cluster, tell: (what: string) => void): Registries {
  let copies = 0;
  const made = new Map<number, Promise<readonly string[]>>();
  async function make(tenants: number): Promise<readonly string[]> {
    const ids = await fill(cluster, tenants);
    tell(`a registry with ${tenants} tenants is made`);
    return ids;
  }
  return {
    async copy(tenants) {
      const making = made.get(tenants) ?? make(tenants);
      made.set(tenants, making);
      const ids = await making;
      const database = `copy_${++copies}`;
      await cluster.createDatabase(database, nameOf(tenants));
      return { database, ids };
    },
  };
}

async function fill(cluster: Cluster, tenants: number): Promise<readonly string[]> {
  const database = nameOf(tenants);
  await cluster.createDatabase(database);
  const flags = ['--rate-limit=0'];
  const service = await startService({ cluster, database, concurrency: 1, role: 'api', flags });
  try {
    let begun = 0;
    const creating = Array.from({ length: atOnce }, async () => {
      while (begun < tenants) await service.createTenant(`tenant-${String(begun++).padStart(5, '0')}`);
    });
    await Promise.all(creating);
  } finally {
    await service[Symbol.asyncDispose]();
  }
  await cluster.query(provisionedSql, database);
  await housekeep(cluster, database);
  const rows = await cluster.query('SELECT id::text AS id FROM tenants ORDER BY created_at, id', database);
  return rows.map(({ id }) => String(id));
}

function nameOf(tenants: number): string {
  return `tenants_${tenants}`;
}
