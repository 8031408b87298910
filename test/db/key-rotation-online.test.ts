import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { expect, test } from 'vitest';
import type { Core } from '../../src/core/core.ts';
import { rotateKeys } from '../../src/db/key-rotation.ts';
import { readKeyUsage } from '../../src/db/key-usage.ts';
import { openRegistry } from '../../src/db/open-registry.ts';
import { editor, newTenant } from '../core/core-app.ts';
import { startTestApp } from '../support/app.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { readTenants, storeTenants } from '../support/sealed-tenants.ts';

const [former, next] = ['former', 'next'].map((id) => ({ id, key: randomBytes(32) }));
if (former === undefined || next === undefined) throw new Error('there are two keys');
const keys = [next, former] as const;

interface Written {
  contactEmail: string;
  version: number;
}

/** Creates tenants and changes their addresses, one call after the other, until it is stopped. */
function startWriter(core: Core) {
  const written = new Map<string, Written>();
  let stopped = false;
  const run = async () => {
    while (!stopped) {
      const input = newTenant();
      const { id } = (await core.tenants.create(editor, input)).tenant;
      written.set(id, { contactEmail: input.contactEmail, version: 1 });
      for (const [changed, { version }] of [...written].slice(-3)) {
        const contactEmail = `${randomBytes(6).toString('hex')}@example.com`;
        await core.tenants.update(editor, { id: changed, contactEmail });
        written.set(changed, { contactEmail, version: version + 1 });
      }
    }
  };
  const running = run();
  return {
    written,
    async stop() {
      stopped = true;
      await running;
    },
  };
}

test('beside replicas that write under the former and the next key a rotation loses and changes nothing', async () => {
  await using database = await createTestDatabase();
  await using resources = new AsyncDisposableStack();
  const pool = new pg.Pool(database.settings);
  pool.on('error', () => {});
  resources.defer(() => pool.end());
  const stored = await storeTenants(pool, (await openRegistry(database.settings, [former])).keyRing, 2_000);
  const replica = (...encryptionKeys: { id: string; key: Uint8Array }[]) =>
    startTestApp({ database, worker: false, config: { encryptionKeys } });
  const behind = resources.use(await replica(former, next));
  const ahead = resources.use(await replica(next, former));
  const { registryId, keyRing } = await openRegistry(database.settings, keys);
  const halfway = Promise.withResolvers<void>();
  const rotate = async () => {
    for await (const news of rotateKeys({ pool, registryId, keys, keyRing }))
      if (news.kind === 'progress' && news.done >= stored.length / 2) halfway.resolve();
    return (await readKeyUsage(pool)).map(({ keyId }) => keyId);
  };
  const writers = [startWriter(behind.core), startWriter(ahead.core)] as const;
  await eventually(() => writers.every(({ written }) => written.size > 0), 20_000);

  const rotating = rotate();
  // The one that has the former key first is stopped in the middle of it.
  await halfway.promise;
  await writers[0].stop();
  await rotating;
  expect(await rotate()).toEqual(['next']);
  await writers[1].stop();

  const expected = new Map([
    ...stored.map(({ id, contactEmail }) => [id, { contactEmail, version: 7 }] as const),
    ...writers.flatMap(({ written }) => [...written]),
  ]);
  const { keyRing: withoutFormer } = await openRegistry(database.settings, [next]);
  const { rows } = await pool.query<{ id: string; version: number }>('SELECT id, version FROM tenants');
  const versions = new Map(rows.map(({ id, version }) => [id, version]));
  const found = (await readTenants(pool, withoutFormer)).map(
    ({ id, contactEmail }) => [id, { contactEmail, version: versions.get(id) }] as const,
  );
  expect(new Map(found)).toEqual(expected);
  for (const { written } of writers) {
    const [id, { contactEmail } = { contactEmail: '' }] = [...written].at(-1) ?? [];
    const page = { after: null, before: null, limit: 2, inverted: false };
    const order = { field: 'CREATED_AT', direction: 'ASC' } as const;
    const { tenants } = await ahead.core.tenants.list({ filter: { contactEmail }, order, ...page });
    expect(tenants.map((tenant) => tenant.id)).toEqual([id]);
  }
});
