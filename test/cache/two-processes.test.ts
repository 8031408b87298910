import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Core } from '../../src/core/core.ts';
import type { Tenant } from '../../src/core/model.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { actor } from '../support/actor.ts';
import { asAdministrator, createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts';
import { inState, settled } from '../workers/worker-app.ts';

/** Far below the half minute for which a process remembers what it is not told to forget. */
const momentMs = 3_000;
const admin = actor('admin', 'an admin');

describe.skipIf(redisMissing !== null)('two processes', () => {
  const stack = new AsyncDisposableStack();
  let database: TestDatabase;
  let redis: TestRedis;
  /** Takes every change, and does the work. */
  let worker: CoreApp;
  /** Only reads. */
  let reader: CoreApp;

  beforeAll(async () => {
    database = stack.use(await createTestDatabase());
    redis = stack.use(await startRedis());
    const config = { encryptionKeys: [{ id: 'shared', key: randomBytes(32) }] };
    const options = { database, redisUrl: redis.url, config, timings: { firstRetryMs: 20 } };
    worker = stack.use(await startCore(options));
    reader = stack.use(await startCore({ ...options, worker: false }));
  });
  afterAll(() => stack.disposeAsync());

  /**
   * Both have asked for the tenant just before, and see what `work` has changed a moment after it; they remember it again
   * unless it is not known how the change ended.
   */
  async function agree(id: string, work: (core: Core) => Promise<unknown>, remember = true): Promise<Tenant> {
    const look = (app: CoreApp) => app.core.tenants.find(id, 'INCLUDE');
    for (const app of [worker, reader]) await look(app);
    await work(worker.core);
    const stored = await worker.stored(id);
    for (const app of [worker, reader]) {
      await eventually(async () => {
        const seen = await look(app);
        expect(seen).toEqual(stored);
        return ((await look(app)) === seen) === remember;
      }, momentMs);
    }
    return stored;
  }

  async function create(): Promise<string> {
    const { tenant } = await worker.core.tenants.create(editor, newTenant());
    return tenant.id;
  }

  test('agree on what a worker makes of a tenant, and on every change of it', async () => {
    const id = await create();
    expect(await agree(id, () => settled(worker, id))).toMatchObject({ status: 'ACTIVE', schemaVersion: 2 });
    const { subdomain } = newTenant();
    expect(
      await agree(id, ({ tenants }) =>
        tenants.update(editor, { id, name: 'Renamed', subdomain, tier: 'gold', contactEmail: 'a@b.example' }),
      ),
    ).toMatchObject({ name: 'Renamed', subdomain, tier: 'gold' });
    expect((await reader.core.tenants.findBySubdomain(subdomain))?.id).toBe(id);

    const run = async (change: (core: Core) => Promise<unknown>, end: Partial<Tenant>) => {
      await agree(id, change);
      expect(await agree(id, () => settled(worker, id))).toMatchObject(end);
    };
    await run(({ tenants }) => tenants.suspend(admin, id), { status: 'INACTIVE' });
    await run(({ tenants }) => tenants.resume(admin, id), { status: 'ACTIVE' });
    await run(({ tenants }) => tenants.remove(admin, id), { deletedAt: expect.any(Date) });
    expect(await reader.core.tenants.find(id)).toBeNull();
    expect(await reader.core.tenants.findBySubdomain(subdomain)).toBeNull();
    await run(({ tenants }) => tenants.restore(admin, id), { deletedAt: null, status: 'ACTIVE' });
    expect((await reader.core.tenants.findBySubdomain(subdomain))?.id).toBe(id);
  });

  test('agree on a provisioning that fails, is tried again, and is cancelled', async () => {
    await asAdministrator(
      database.administrator,
      `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
       CREATE TRIGGER refuse BEFORE UPDATE ON tenants FOR EACH ROW WHEN (NEW.status = 'ACTIVE') EXECUTE FUNCTION refuse()`,
    );
    const failing = await create();
    expect(await agree(failing, () => inState(worker, failing, 'FAILED'))).toMatchObject({ status: 'ERROR' });
    const { operationId } = await worker.stored(failing);
    await agree(failing, async ({ operations }) => {
      await operations.retry(editor, operationId ?? '');
      await inState(worker, failing, 'FAILED');
    });
    await agree(failing, async ({ operations }) => {
      await operations.cancel(editor, operationId ?? '');
      await inState(worker, failing, 'CANCELLED');
    });
    expect(await reader.core.tenants.find(failing)).toBeNull();
    await asAdministrator(database.administrator, 'DROP TRIGGER refuse ON tenants');
  });

  test('agree though a change was refused at its commit', async () => {
    const id = await create();
    await settled(worker, id);
    const before = await worker.stored(id);
    await asAdministrator(
      database.administrator,
      `CREATE FUNCTION refuse_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
       CREATE CONSTRAINT TRIGGER refuse_at_commit AFTER UPDATE ON tenants DEFERRABLE INITIALLY DEFERRED
       FOR EACH ROW EXECUTE FUNCTION refuse_at_commit()`,
    );
    const refused = async ({ tenants }: Core) =>
      expect(tenants.update(editor, { id, name: 'Refused' })).rejects.toThrow();
    expect(await agree(id, refused, false)).toEqual(before);
    await asAdministrator(database.administrator, 'DROP TRIGGER refuse_at_commit ON tenants');
    expect(await agree(id, ({ tenants }) => tenants.update(editor, { id, name: 'Taken' }))).toMatchObject({
      name: 'Taken',
      version: before.version + 1,
    });
  });
});
