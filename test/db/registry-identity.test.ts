import { randomBytes } from 'node:crypto';
import pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type EncryptionKey, fingerprintOf } from '../../src/db/key-ring.ts';
import { establishRegistry, KeyRingRefusedError } from '../../src/db/registry-identity.ts';
import { createTestDatabase } from '../support/database.ts';

const newKey = (id: string): EncryptionKey => ({ id, key: randomBytes(32) });
const context = { tenantId: '0b3c8a52-6a0e-4f0e-9d0f-3f1f6f1f0a11', field: 'contactEmail' };

let resources: AsyncDisposableStack;
let client: pg.Client;

beforeEach(async () => {
  resources = new AsyncDisposableStack();
  const database = resources.use(await createTestDatabase());
  client = new pg.Client(database.settings);
  await client.connect();
  resources.defer(() => client.end());
});
afterEach(() => resources.disposeAsync());

/** A start of the service: everything or nothing. */
async function start(keys: readonly EncryptionKey[]) {
  await client.query('BEGIN');
  try {
    const identity = await establishRegistry(client, keys);
    await client.query('COMMIT');
    return identity;
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

const rows = async (sql: string) => (await client.query(sql)).rows;
const fingerprints = () => rows('SELECT id, fingerprint FROM encryption_keys ORDER BY id');

describe('establishing a registry', () => {
  test('the first start founds it, later ones find the same', async () => {
    const key = newKey('first');
    const founded = await start([key]);
    const found = await start([key]);
    expect(found.registryId).toBe(founded.registryId);
    expect(found.keyRing.open(founded.keyRing.seal('ada@example.com', context), context)).toBe(
      'ada@example.com',
    );
    expect(found.keyRing.emailIndex('ada@example.com')).toBe(founded.keyRing.emailIndex('ada@example.com'));
    expect(await rows('SELECT id, index_key FROM registry')).toEqual([
      { id: founded.registryId, index_key: expect.stringMatching(/^v1:first:[\w-]{16}:[\w-]{64}$/) },
    ]);
    expect(await fingerprints()).toEqual([{ id: 'first', fingerprint: fingerprintOf(key.key) }]);
  });

  test('a new first key joins, and everything from before still reads', async () => {
    const [oldKey, key] = [newKey('old'), newKey('new')];
    const before = await start([oldKey]);
    const after = await start([key, oldKey]);
    expect(after.keyRing.open(before.keyRing.seal('ada@example.com', context), context)).toBe(
      'ada@example.com',
    );
    expect(after.keyRing.seal('ada@example.com', context)).toMatch(/^v1:new:/);
    expect(after.keyRing.emailIndex('ada@example.com')).toBe(before.keyRing.emailIndex('ada@example.com'));
    expect(await fingerprints()).toEqual([
      { id: 'new', fingerprint: fingerprintOf(key.key) },
      { id: 'old', fingerprint: fingerprintOf(oldKey.key) },
    ]);
  });

  test('another key under a known id is refused, and the refused start leaves nothing behind', async () => {
    const key = newKey('first');
    await start([key]);
    await expect(start([newKey('second'), newKey('first')])).rejects.toThrow(
      new KeyRingRefusedError(
        '--encryption-keys: key "first" is not the one this registry knows by that id: restore the original key, or give the new one another id and keep the original in the list',
      ),
    );
    expect(await fingerprints()).toEqual([{ id: 'first', fingerprint: fingerprintOf(key.key) }]);
  });

  test('a start without the key that wraps the index key is refused and names it', async () => {
    await start([newKey('first')]);
    await expect(start([newKey('second')])).rejects.toThrow(
      new KeyRingRefusedError(
        '--encryption-keys: this registry\'s index key is wrapped under key "first", which is not in the list: add it',
      ),
    );
  });

  test('an index key that was altered is refused', async () => {
    const key = newKey('first');
    const { registryId } = await start([key]);
    await client.query("UPDATE registry SET index_key = overlay(index_key placing 'AAAA' from 30)");
    await expect(start([key])).rejects.toThrow(
      new KeyRingRefusedError(
        `the index key of registry ${registryId} does not unwrap under the configured keys: restore table "registry" from a backup`,
      ),
    );
  });

  test('an index key of another registry is refused', async () => {
    const key = newKey('first');
    await start([key]);
    await client.query('UPDATE registry SET id = gen_random_uuid()');
    await expect(start([key])).rejects.toThrow(KeyRingRefusedError);
  });
});
