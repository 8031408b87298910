import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { type CacheAnswer, createTenantCache } from '../../src/cache/tenant-cache.ts';
import type { Tenant } from '../../src/core/model.ts';
import type { Registry } from '../../src/core/ports.ts';
import type { TenantCache } from '../../src/core/tenant-cache.ts';
import { createTenantLookup } from '../../src/db/find-tenant.ts';
import { createLog } from '../../src/log.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import type { TestRedis } from '../support/redis.ts';

/** A read that has its row, and does not come back with it yet. */
export interface HeldRead {
  /** Fulfilled when it has its row. */
  readonly read: Promise<void>;
  release(): void;
}

/** A process, as far as it remembers tenants. */
export interface CacheProcess {
  readonly cache: TenantCache;
  /** What its tiers answered. */
  readonly answers: CacheAnswer[];
  /** How often PostgreSQL was asked. */
  reads(): number;
  /** Holds the next read that asks PostgreSQL. */
  holdNext(): HeldRead;
}

export interface CacheBed extends AsyncDisposable {
  readonly pool: pg.Pool;
  /** One process more; when it has a Redis, one that has reached it. */
  process(): Promise<CacheProcess>;
  /** Until a process has reached Redis (again). */
  shared(process: CacheProcess): Promise<void>;
  /** Stores a tenant. */
  insert(): Promise<Tenant>;
  /** Commits a change of a tenant that nobody is told of. @returns its version */
  commit(id: string, name: string): Promise<number>;
  /** Tells the processes, as one of them would. */
  publish(message: string): Promise<void>;
  /** What Redis keeps for a tenant. */
  entry(id: string): Promise<string | null>;
  keyOf(id: string): string;
}

/** Processes on one database of its own, and on one Redis if it is given. */
export async function openCacheBed(redis: TestRedis | null = null): Promise<CacheBed> {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await createTestDatabase());
  const pool = new pg.Pool({ ...database.settings, max: 10 });
  pool.on('error', () => {});
  stack.defer(() => pool.end());
  const registryId = randomUUID();
  const keyOf = (id: string) => `tms:${registryId}:tenant:${id}`;
  const client = redis?.client();
  const processes = stack.use(new AsyncDisposableStack());
  const publish = async (message: string) => {
    await client?.publish(`tms:${registryId}:changes`, message);
  };
  const shared = async (process: CacheProcess) => {
    if (client) await untilShared(process, publish);
  };
  const running = stack.move();

  return {
    pool,
    keyOf,
    async process() {
      const held: PromiseWithResolvers<void>[][] = [];
      const answers: CacheAnswer[] = [];
      let reads = 0;
      const lookup = createTenantLookup(pool);
      const holding = async (find: () => Promise<Tenant | null>) => {
        reads += 1;
        const [read, released] = held.shift() ?? [];
        const tenant = await find();
        read?.resolve();
        await released?.promise;
        return tenant;
      };
      const registry: Pick<Registry, 'find' | 'findBySubdomain'> = {
        find: (id) => holding(() => lookup.find(id)),
        findBySubdomain: (subdomain) => holding(() => lookup.findBySubdomain(subdomain)),
      };
      const cache = processes.use(
        createTenantCache({
          registry,
          shared: redis && { server: { url: redis.url, tls: null }, registryId },
          relay: null,
          onAnswer: (answer) => void answers.push(answer),
          log: createLog('silent', { write: () => {} }),
        }),
      );
      const process: CacheProcess = {
        cache,
        answers,
        reads: () => reads,
        holdNext() {
          const [read, released] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
          held.push([read, released]);
          return { read: read.promise, release: released.resolve };
        },
      };
      await shared(process);
      reads = 0;
      return process;
    },
    shared,
    publish,
    async insert() {
      const id = randomUUID();
      await pool.query(
        `INSERT INTO tenants (id, name, subdomain, contact_email, contact_email_index, status)
         VALUES ($1::uuid, 'First', 't-' || left($1::text, 13), 'v1:none:' || repeat('x', 16) || ':' || repeat('x', 22), repeat('x', 43), 'ACTIVE')`,
        [id],
      );
      const tenant = await createTenantLookup(pool).find(id);
      if (tenant === null) throw new Error('the tenant was not stored');
      return tenant;
    },
    async commit(id, name) {
      const { rows } = await pool.query('UPDATE tenants SET name = $2 WHERE id = $1 RETURNING version', [
        id,
        name,
      ]);
      return Number(rows[0].version);
    },
    entry: async (id) => (await client?.get(keyOf(id))) ?? null,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Until the process uses what Redis keeps, and hears of changes: of what has changed it does not remember that it is not. */
async function untilShared(
  { cache, answers }: Pick<CacheProcess, 'cache' | 'answers'>,
  tell: (message: string) => Promise<void>,
): Promise<void> {
  const changed = randomUUID();
  await eventually(async () => {
    await tell(`${changed} 1`);
    await cache.find(changed);
    answers.length = 0;
    await cache.find(changed);
    return answers.join() === 'memory miss,redis miss';
  }, 10_000);
  answers.length = 0;
}
