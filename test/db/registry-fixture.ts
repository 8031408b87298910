import { randomBytes, randomUUID } from 'node:crypto';
import pg from 'pg';
import { createKeyRing, type KeyRing } from '../../src/db/key-ring.ts';
import { createRegistryClients, type RegistryClient } from '../../src/db/prisma-client.ts';
import { createTestDatabase } from '../support/database.ts';

export interface RegistryFixture extends AsyncDisposable {
  readonly pool: pg.Pool;
  readonly keyRing: KeyRing;
  readonly client: RegistryClient;
}

/** A registry client on a migrated database of its own. */
export async function openRegistry(): Promise<RegistryFixture> {
  const stack = new AsyncDisposableStack();
  const database = stack.use(await createTestDatabase());
  const pool = new pg.Pool(database.settings);
  pool.on('error', () => {});
  stack.defer(() => pool.end());
  const keyRing = createKeyRing([{ id: 'first', key: randomBytes(32) }], randomBytes(32));
  const { client } = createRegistryClients(pool, keyRing);
  stack.defer(() => client.$disconnect());
  return { pool, keyRing, client, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

/** What a tenant needs to be created, different each time. */
export function newTenant() {
  const id = randomUUID();
  return {
    id,
    name: `Tenant ${id.slice(0, 8)}`,
    subdomain: `t-${id.slice(0, 13)}`,
    contactEmail: `owner@${id.slice(0, 8)}.example`,
    contactEmailIndex: '',
  };
}

/** What an operation of a tenant needs to be created; finished, so that a tenant may have several. */
export function newOperation(tenantId: string) {
  return { id: randomUUID(), tenantId, kind: 'MIGRATE', state: 'SUCCEEDED', finishedAt: new Date() } as const;
}

/** A result as plain objects: a computed field makes Prisma's a proxy with an inspection symbol on it. */
export function plain(result: unknown): unknown {
  if (Array.isArray(result)) return result.map(plain);
  if (typeof result !== 'object' || result === null || result instanceof Date) return result;
  return Object.fromEntries(Object.entries(result).map(([key, value]) => [key, plain(value)]));
}

/**
 * A live and a deleted tenant, named Live and Gone, of a tier that is theirs alone; each with a finished
 * operation that is its newest.
 */
export async function createLiveAndGone(client: RegistryClient) {
  const tier = randomUUID();
  const live = { ...newTenant(), name: 'Live' };
  const gone = { ...newTenant(), name: 'Gone' };
  const ofLive = newOperation(live.id);
  const ofGone = newOperation(gone.id);
  await client.tenant.createMany({ data: [live, gone].map((tenant) => ({ ...tenant, tier })) });
  await client.operation.createMany({ data: [ofLive, ofGone] });
  await client.tenant.update({ where: { id: live.id }, data: { operationId: ofLive.id } });
  await client.tenant.update({ where: { id: gone.id }, data: { operationId: ofGone.id } });
  await client.tenant.delete({ where: { id: gone.id } });
  return { tier, live, gone, ofLive, ofGone };
}
