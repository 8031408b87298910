import pg from 'pg';
import { withConnection } from './connection.ts';
import type { DatabaseSettings } from './database-settings.ts';
import { hasCode } from './error-code.ts';
import { isUnavailable } from './errors.ts';
import type { EncryptionKey, KeyRing } from './key-ring.ts';
import { serviceConnections } from './pool.ts';
import { establishRegistry, KeyRingRefusedError } from './registry-identity.ts';
import { migrateRegistry, missingMigrations, underMigrationLock } from './registry-migrator.ts';
import { tlsRefusal } from './tls-refusal.ts';

export interface OpenRegistry {
  readonly registryId: string;
  readonly keyRing: KeyRing;
  /** The migrations that were applied now. */
  readonly applied: readonly string[];
}

/**
 * Migrates the registry and finds out who it is, one process at a time.
 * @throws {KeyRingRefusedError} when the keys are not this registry's; other errors say in one line what the database
 *   refused
 */
export async function openRegistry(
  settings: DatabaseSettings,
  keys: readonly EncryptionKey[],
): Promise<OpenRegistry> {
  try {
    return await underMigrationLock(settings, async (client) => {
      const applied = await migrateRegistry(settings, client);
      await client.query('BEGIN');
      const identity = await establishRegistry(client, keys);
      await client.query('COMMIT');
      return { ...identity, applied };
    });
  } catch (error) {
    throw explained(error, settings);
  }
}

/**
 * Finds out who the registry is and changes nothing.
 * @throws when it is not there or not up to date; else as {@link openRegistry} does
 */
export async function joinRegistry(
  settings: DatabaseSettings,
  keys: readonly EncryptionKey[],
): Promise<Omit<OpenRegistry, 'applied'>> {
  return joined(settings, async (client) => {
    const identity = await establishRegistry(client, keys);
    // What a first start would write is taken back.
    await client.query('ROLLBACK');
    return identity;
  });
}

/**
 * The same for somebody who is about to write under the first key, which is recorded if it is new.
 * @throws {KeyRingRefusedError} also when it is new and the service runs: that could not read what is written
 */
export async function joinRegistryToWrite(
  settings: DatabaseSettings,
  keys: readonly [EncryptionKey, ...EncryptionKey[]],
): Promise<Omit<OpenRegistry, 'applied'>> {
  return joined(settings, async (client) => {
    await refuseUnknownToService(client, keys[0]);
    const identity = await establishRegistry(client, keys);
    await client.query('COMMIT');
    return identity;
  });
}

/** Runs `work` in a transaction, which it ends, on a registry that is up to date. */
async function joined<T>(settings: DatabaseSettings, work: (client: pg.Client) => Promise<T>): Promise<T> {
  try {
    return await withConnection(settings, { withinMs: 10_000 }, async (client) => {
      const [missing] = await missingMigrations(client);
      if (missing !== undefined)
        throw new Error(`the registry lacks its migration ${missing}: "npm run migrate" applies it`);
      await client.query('BEGIN');
      return await work(client);
    });
  } catch (error) {
    throw explained(error, settings);
  }
}

/** Every start records its keys: processes that run and a key that was never recorded do not know each other. */
async function refuseUnknownToService(client: pg.Client, { id }: EncryptionKey): Promise<void> {
  const { rows } = await client.query<{ unknown: boolean }>(
    `SELECT NOT EXISTS (SELECT FROM encryption_keys WHERE id = $1)
       AND EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = $2) AS unknown`,
    [id, serviceConnections],
  );
  if (rows[0]?.unknown !== true) return;
  throw new KeyRingRefusedError(
    `--encryption-keys: the service runs, and was never started with key "${id}": restart all its processes with that key in their list first, as docs/encryption.md says`,
  );
}

/** What an administrator or operator can do about the usual ways in which a database refuses. */
function explained(error: unknown, { host, port, user, database }: DatabaseSettings): unknown {
  const server = `PostgreSQL at ${host}:${port}`;
  const says = (what: string) => new Error(what, { cause: error });
  const reason = error instanceof Error ? error.message : String(error);
  const tls = tlsRefusal(error);
  if (tls !== null) return says(`${tls.flag}: ${server} ${tls.what}`);
  if (hasCode(error, '28P01')) {
    return says(`--db-user, --db-pass: ${server} does not let the user "${user}" in with this password`);
  }
  if (hasCode(error, '28000')) {
    return says(`--db-user: ${server} does not let the user "${user}" in: ${reason}`);
  }
  if (isUnavailable(error)) {
    // A server that answers says why it does not serve: it starts, it stops, it is full.
    return error instanceof pg.DatabaseError
      ? says(`--db-host, --db-port: ${server} does not serve now: ${reason}`)
      : says(`--db-host, --db-port: ${server} cannot be reached; start it, or name another one`);
  }
  if (hasCode(error, '3D000')) {
    return says(`--db-name: ${server} has no database "${database}"; deploy/administrator.sql makes it`);
  }
  if (hasCode(error, '42501')) {
    return says(
      `the user "${user}" lacks a right on the database "${database}"; deploy/administrator.sql gives it`,
    );
  }
  return error;
}
