import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { EncryptionKey } from '../../src/db/key-ring.ts';
import { type RotationNews, rotateKeys } from '../../src/db/key-rotation.ts';
import { readKeyUsage } from '../../src/db/key-usage.ts';
import { openRegistry } from '../../src/db/open-registry.ts';
import { KeyRingRefusedError } from '../../src/db/registry-identity.ts';
import { createRotationReport } from '../../src/db/rotation-report.ts';
import { sealedColumns } from '../../src/db/sealed-values.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { inOrder, readTenants, type SealedTenant, storeTenants } from '../support/sealed-tenants.ts';

const newKey = (id: string): EncryptionKey => ({ id, key: randomBytes(32) });
// An id that LIKE would take for a pattern of the others.
const [former, first] = [newKey('key-1'), newKey('key__')];
const keys = [first, former] as const;

let resources: AsyncDisposableStack;
let database: TestDatabase;
let pool: pg.Pool;
let tenants: SealedTenant[];

beforeEach(async () => {
  resources = new AsyncDisposableStack();
  database = resources.use(await createTestDatabase());
  pool = new pg.Pool(database.settings);
  // The database goes as soon as the pool has said goodbye, which a server may hear of first.
  pool.on('error', () => {});
  resources.defer(() => pool.end());
  tenants = await storeTenants(pool, (await start(former)).keyRing, 1_100);
});
afterEach(() => resources.disposeAsync());

const start = (...ring: readonly EncryptionKey[]) => openRegistry(database.settings, ring);

/** A rotation that has not begun. */
async function rotation() {
  const { registryId, keyRing } = await start(...keys);
  return rotateKeys({ pool, registryId, keys, keyRing });
}

/** Runs a rotation to its end. @returns what it prints, and whether all is under the first key */
async function rotate() {
  const lines: string[] = [];
  const report = createRotationReport(
    keys.map(({ id }) => id),
    (line) => lines.push(line),
  );
  for await (const news of await rotation()) report.tell(news);
  return { complete: report.end(await readKeyUsage(pool)), lines };
}

const versions = async () =>
  (await pool.query('SELECT id, version, updated_at, deleted_at FROM tenants ORDER BY id')).rows;

const ended = [
  'key "key__", the first: 1100 contact addresses, 1100 passwords, the index key',
  'key "key-1": nothing in the database is under it now; it may leave --encryption-keys once no process has it first; backups from before need it',
];

describe('a rotation', () => {
  test('brings all under the first key, in batches, and changes nothing that anybody sees', async () => {
    const before = await versions();
    expect(await rotate()).toEqual({
      complete: true,
      lines: [
        'index key: re-encrypted',
        'contact addresses: 0 re-encrypted, 1100 left',
        'contact addresses: 500 re-encrypted, 600 left',
        'contact addresses: 1000 re-encrypted, 100 left',
        'contact addresses: 1100 re-encrypted, 0 left',
        'passwords: 0 re-encrypted, 1100 left',
        'passwords: 500 re-encrypted, 600 left',
        'passwords: 1000 re-encrypted, 100 left',
        'passwords: 1100 re-encrypted, 0 left',
        ...ended,
      ],
    });
    expect(await versions()).toEqual(before);
    const withoutFormer = await start(first);
    expect(await readTenants(pool, withoutFormer.keyRing)).toEqual(inOrder(tenants));
    const [{ id, contactEmail } = { id: '', contactEmail: '' }] = tenants;
    const found = await pool.query('SELECT id FROM tenants WHERE contact_email_index = $1', [
      withoutFormer.keyRing.emailIndex(contactEmail),
    ]);
    expect(found.rows).toEqual([{ id }]);
    await expect(start(former)).rejects.toThrow(
      new KeyRingRefusedError(
        `--encryption-keys: this registry's index key is wrapped under key "key__", which is not in the list: add it`,
        { cause: expect.anything() },
      ),
    );
    // A key that is gone stays known: another one cannot take its name.
    await expect(start(first, newKey('key-1'))).rejects.toThrow(KeyRingRefusedError);
  });

  test('that is broken off goes on with what is left', async () => {
    for await (const news of await rotation()) if (news.kind === 'progress' && news.done === 500) break;
    const { complete, lines } = await rotate();
    expect({ complete, lines: lines.slice(0, 3) }).toEqual({
      complete: true,
      lines: [
        'contact addresses: 0 re-encrypted, 600 left',
        'contact addresses: 500 re-encrypted, 100 left',
        'contact addresses: 600 re-encrypted, 0 left',
      ],
    });
    expect((await rotate()).lines).toEqual([
      'contact addresses: 0 re-encrypted, 0 left',
      'passwords: 0 re-encrypted, 0 left',
      ...ended,
    ]);
  });

  test('and another one at the same time share the work', async () => {
    const done = async () => {
      const counts = new Map<string, number>();
      for await (const news of await rotation())
        if (news.kind === 'progress') counts.set(news.column.table, news.done);
      return counts;
    };
    const [one, other] = await Promise.all([done(), done()]);
    for (const { table } of sealedColumns)
      expect((one.get(table) ?? 0) + (other.get(table) ?? 0)).toBe(tenants.length);
    expect(await readTenants(pool, (await start(first)).keyRing)).toEqual(inOrder(tenants));
  });

  test('passes by a row that somebody holds, comes back to it, and keeps what was written', async () => {
    const [held] = tenants;
    const { keyRing } = await start(former);
    const sealed = keyRing.seal('new@example.com', { tenantId: held?.id ?? '', field: 'contactEmail' });
    await using holder = await pool.connect().then((client) => ({
      client,
      [Symbol.asyncDispose]: async () => client.release(true),
    }));
    await holder.client.query('BEGIN');
    await holder.client.query('SELECT FROM tenants WHERE id = $1 FOR UPDATE', [held?.id]);
    const news: RotationNews[] = [];
    for await (const item of await rotation()) {
      news.push(item);
      if (item.kind !== 'progress' || item.done !== 1_099) continue;
      await holder.client.query('UPDATE tenants SET contact_email = $2 WHERE id = $1', [held?.id, sealed]);
      await holder.client.query('COMMIT');
    }
    expect(news).toContainEqual({ kind: 'progress', column: sealedColumns[0], done: 1_100, left: 0 });
    expect(await readTenants(pool, (await start(first)).keyRing)).toEqual(
      inOrder(
        tenants.map((tenant) => (tenant === held ? { ...tenant, contactEmail: 'new@example.com' } : tenant)),
      ),
    );
  });

  test('does not write over what was written since it looked', async () => {
    const [unreadable, written] = inOrder(tenants);
    await pool.query(
      `UPDATE tenants SET contact_email = replace(contact_email, 'key-1', 'key-0') WHERE id = $1`,
      [unreadable?.id],
    );
    const { keyRing } = await start(former);
    const context = { tenantId: written?.id ?? '', field: 'contactEmail' };
    // It is told of while its batch has been read and not yet written.
    for await (const { kind } of await rotation())
      if (kind === 'unreadable')
        await pool.query('UPDATE tenants SET contact_email = $2 WHERE id = $1', [
          written?.id,
          keyRing.seal('new@example.com', context),
        ]);
    const { rows } = await pool.query('SELECT contact_email FROM tenants WHERE id = $1', [written?.id]);
    expect((await start(first)).keyRing.open(String(rows[0]?.contact_email), context)).toBe(
      'new@example.com',
    );
  });

  test('leaves what does not open, names it, and does the rest', async () => {
    const [tampered, victim, thief, lost] = tenants.map(({ id }) => id);
    const set = (id = '', address = '') =>
      pool.query('UPDATE tenants SET contact_email = $2 WHERE id = $1', [id, address]);
    const addressOf = async (id = '') =>
      String(
        (await pool.query('SELECT contact_email FROM tenants WHERE id = $1', [id])).rows[0]?.contact_email,
      );
    await set(tampered, (await addressOf(tampered)).replace(/.{4}$/, 'AAAA'));
    await set(thief, await addressOf(victim));
    await set(lost, (await addressOf(lost)).replace('key-1', 'key-0'));
    await pool.query(
      'UPDATE tenant_credentials SET password = (SELECT contact_email FROM tenants WHERE id = $1) WHERE tenant_id = $1',
      [victim],
    );

    const { complete, lines } = await rotate();
    const wrong =
      'stays as it is: a value under encryption key "key-1" does not open: it was altered, moved, or sealed under another key of that id';
    expect(lines.filter((line) => line.startsWith('tenant ')).toSorted()).toEqual(
      [
        `tenant ${tampered}: its contact address ${wrong}`,
        `tenant ${thief}: its contact address ${wrong}`,
        `tenant ${lost}: its contact address stays as it is: encryption key "key-0" is not in the key ring: add it to --encryption-keys`,
        `tenant ${victim}: its password ${wrong}`,
      ].toSorted(),
    );
    expect({ complete, lines: lines.slice(-3) }).toEqual({
      complete: false,
      lines: [
        'key "key__", the first: 1097 contact addresses, 1099 passwords, the index key',
        'key "key-1": still 2 contact addresses, 1 password; none of that opens, as said above',
        'key "key-0": still 1 contact address; none of that opens, as said above',
      ],
    });
  });
});

test('says so when somebody goes on writing under a former key', async () => {
  const { keyRing } = await start(former);
  const [busy] = tenants;
  const sealed = () => keyRing.seal('late@example.com', { tenantId: busy?.id ?? '', field: 'contactEmail' });
  for await (const _ of await rotation());
  await pool.query('UPDATE tenants SET contact_email = $2 WHERE id = $1', [busy?.id, sealed()]);
  const lines: string[] = [];
  const report = createRotationReport(
    keys.map(({ id }) => id),
    (line) => lines.push(line),
  );
  expect(report.end(await readKeyUsage(pool))).toBe(false);
  expect(lines.at(-1)).toBe(
    'key "key-1": still 1 contact address; somebody writes under this key, or held the rows: docs/encryption.md',
  );
});

test('what the database holds to be ciphertext is what is rotated', async () => {
  const { rows } = await pool.query(
    `SELECT conrelid::regclass::text AS table, attname AS column FROM pg_constraint
     JOIN pg_attribute ON attrelid = conrelid AND attnum = conkey[1]
     WHERE pg_get_constraintdef(pg_constraint.oid) LIKE '%^v1:%'`,
  );
  const byTable = (a: { table: string }, b: { table: string }) => a.table.localeCompare(b.table);
  expect(rows.toSorted(byTable)).toEqual(
    sealedColumns.map(({ table, column }) => ({ table, column })).toSorted(byTable),
  );
});
