import { randomBytes, randomUUID } from 'node:crypto';
import type pg from 'pg';
import {
  createKeyRing,
  type EncryptionKey,
  fingerprintOf,
  type KeyRing,
  MissingKeyError,
  TamperedCiphertextError,
  unwrapIndexKey,
  wrapIndexKey,
} from './key-ring.ts';

/** The configured encryption keys are not this registry's. The message is one line that says what to do. */
export class KeyRingRefusedError extends Error {
  override readonly name = 'KeyRingRefusedError';
}

/**
 * Says who this registry is, and makes it somebody on the first start: a random id, and a random key for the
 * blind indexes, stored wrapped under the first encryption key. Every start compares the configured keys with
 * the fingerprints from their first use, and records those that are new.
 *
 * Runs in the caller's transaction, under the migrator's lock: two first starts must not interleave, and a
 * refused start leaves nothing behind.
 * @param keys the first writes, all read; 32 bytes each.
 * @throws KeyRingRefusedError when a known id has another key, or the index key cannot be unwrapped.
 */
export async function establishRegistry(
  client: pg.ClientBase,
  keys: readonly EncryptionKey[],
): Promise<{ registryId: string; keyRing: KeyRing }> {
  await compareFingerprints(client, keys);
  const known = await client.query<{ id: string; index_key: string }>('SELECT id, index_key FROM registry');
  const row = known.rows[0];
  if (row === undefined) return await foundRegistry(client, keys);
  return { registryId: row.id, keyRing: createKeyRing(keys, unwrapOrRefuse(keys, row.index_key, row.id)) };
}

async function foundRegistry(client: pg.ClientBase, keys: readonly EncryptionKey[]) {
  const registryId = randomUUID();
  const indexKey = randomBytes(32);
  await client.query('INSERT INTO registry (id, index_key) VALUES ($1, $2)', [
    registryId,
    wrapIndexKey(keys, indexKey, registryId),
  ]);
  return { registryId, keyRing: createKeyRing(keys, indexKey) };
}

async function compareFingerprints(client: pg.ClientBase, keys: readonly EncryptionKey[]): Promise<void> {
  for (const { id, key } of keys) {
    const fingerprint = fingerprintOf(key);
    // Whoever records it at the same time is waited for.
    await client.query(
      'INSERT INTO encryption_keys (id, fingerprint) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING',
      [id, fingerprint],
    );
    const { rows } = await client.query<{ fingerprint: string }>(
      'SELECT fingerprint FROM encryption_keys WHERE id = $1',
      [id],
    );
    if (rows[0]?.fingerprint !== fingerprint) {
      throw new KeyRingRefusedError(
        `--encryption-keys: key "${id}" is not the one this registry knows by that id: restore the original key, or give the new one another id and keep the original in the list`,
      );
    }
  }
}

function unwrapOrRefuse(keys: readonly EncryptionKey[], wrapped: string, registryId: string): Uint8Array {
  try {
    return unwrapIndexKey(keys, wrapped, registryId);
  } catch (error) {
    if (error instanceof MissingKeyError) {
      throw new KeyRingRefusedError(
        `--encryption-keys: this registry's index key is wrapped under key "${error.keyId}", which is not in the list: add it`,
        { cause: error },
      );
    }
    if (error instanceof TamperedCiphertextError) {
      throw new KeyRingRefusedError(
        `the index key of registry ${registryId} does not unwrap under the configured keys: restore table "registry" from a backup`,
        { cause: error },
      );
    }
    throw error;
  }
}
