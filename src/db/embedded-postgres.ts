import { existsSync } from 'node:fs';
import { realpath } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { applyAdministratorScript } from './administrator-script.ts';
import { withConnection } from './connection.ts';
import { createDataDirectory } from './data-directory.ts';
import { lockDataDirectory } from './data-directory-lock.ts';
import type { DatabaseSettings } from './database-settings.ts';
import { createCluster, SUPERUSER, syncCluster } from './embedded-cluster.ts';
import {
  createCredentials,
  credentialsFile,
  type EmbeddedCredentials,
  readCredentials,
} from './embedded-credentials.ts';
import { type ServerPlan, startServer, stopServer, untilReady } from './embedded-server.ts';
import { hasCode } from './error-code.ts';
import { postgresAccount, requireAccess } from './postgres-account.ts';
import { embeddedBinaries, type PostgresBinaries } from './postgres-binaries.ts';
import { findServer, type RunningServer } from './postmaster-file.ts';

/** A PostgreSQL of this process's own; disposing it stops the server and waits until it is gone. */
export interface EmbeddedPostgres extends AsyncDisposable {
  /** The superuser, in the database `postgres`. */
  readonly administrator: DatabaseSettings;
  /** The service's own login, no superuser, and its database, as `deploy/administrator.sql` makes them. */
  readonly registry: DatabaseSettings;
}

const SERVICE_USER = 'admin';
const REGISTRY_DATABASE = 'tenant_registry';
const JOIN_WITHIN_MS = 5_000;

/**
 * Starts the PostgreSQL of a data directory, making directory, cluster, login and database where they are missing.
 * Killed at any moment, it goes on from there at the next start; a server that outlived us is then stopped first.
 * @param options `settings` are further server settings; `log` is told of what takes time or is out of the ordinary.
 * @throws Error in one line when another service uses the directory or PostgreSQL cannot run here, with what to do.
 */
export async function startEmbeddedPostgres(options: {
  dataDir: string;
  binaries?: PostgresBinaries;
  settings?: Readonly<Record<string, string>>;
  log: (message: string) => void;
}): Promise<EmbeddedPostgres> {
  const { settings = {}, log } = options;
  const account = await postgresAccount();
  const dataDir = await createDataDirectory(options.dataDir);
  await requireAccess(account, dataDir);
  const binaries = options.binaries ?? (await embeddedBinaries());
  await requireAccess(account, dirname(await realpath(binaries.postgres)));
  const cluster = clusterPath(dataDir);
  const plan: ServerPlan = { cluster, logFile: join(dataDir, 'postgres.log'), binaries, account, settings };

  await using parts = new AsyncDisposableStack();
  parts.use(await lockDataDirectory(dataDir));
  const isNew = !existsSync(cluster);
  const credentials = (await readCredentials(dataDir)) ?? (await newCredentials(dataDir, isNew));
  if (isNew) {
    log(`creating the embedded database in ${cluster}`);
    await createCluster({ path: cluster, password: credentials.superuser, binaries, account });
  }
  // Beside the start: on a slow disk it takes longer than that.
  const synced = isNew
    ? syncCluster(cluster, binaries, account).catch((error: unknown) => log(String(error)))
    : undefined;
  const server = await startServer(plan, log);
  parts.defer(() => stopServer(server.process));
  const administrator = administratorSettings(server, credentials);
  const registry = registrySettings(server, credentials);
  await applyAdministratorScript(administrator, {
    user: registry.user,
    password: registry.password,
    name: registry.database,
  });
  await synced;

  const running = parts.move();
  let stopped: Promise<void> | undefined;
  return {
    administrator,
    registry,
    [Symbol.asyncDispose]: () => {
      stopped ??= running.disposeAsync();
      return stopped;
    },
  };
}

/**
 * How to reach the embedded database that a running service has started on this data directory; null when none runs.
 * One that is just starting is waited for.
 * @throws Error in one line when the directory belongs to another user.
 */
export async function joinEmbeddedPostgres(dataDir: string): Promise<DatabaseSettings | null> {
  const path = await realpath(dataDir).catch(() => null);
  const credentials = path === null ? null : await readCredentials(path);
  if (path === null || credentials === null) return null;
  const found = await findServer(clusterPath(path));
  const server = found && (await untilReady(clusterPath(path), found.process));
  if (server === null) return null;
  const registry = registrySettings(server, credentials);
  const deadline = Date.now() + JOIN_WITHIN_MS;
  for (;;) {
    try {
      await tryConnection(registry);
      return registry;
    } catch (error) {
      // In the moments of the very first start the login or its database is not there yet.
      if (!hasCode(error, '28P01', '3D000') || Date.now() > deadline) throw error;
      await pause(50);
    }
  }
}

async function newCredentials(dataDir: string, isNew: boolean): Promise<EmbeddedCredentials> {
  if (isNew) return createCredentials(dataDir);
  throw new Error(
    `${credentialsFile(dataDir)}, the passwords of ${clusterPath(dataDir)}, is missing: restore it, or remove that directory too to begin anew`,
  );
}

function administratorSettings(server: RunningServer, credentials: EmbeddedCredentials): DatabaseSettings {
  return {
    host: '127.0.0.1',
    port: server.port,
    user: SUPERUSER,
    password: credentials.superuser,
    database: 'postgres',
    ssl: false,
  };
}

function registrySettings(server: RunningServer, credentials: EmbeddedCredentials): DatabaseSettings {
  return {
    host: '127.0.0.1',
    port: server.port,
    user: SERVICE_USER,
    password: credentials.service,
    database: REGISTRY_DATABASE,
    ssl: false,
  };
}

async function tryConnection(settings: DatabaseSettings): Promise<void> {
  await withConnection(settings, { withinMs: JOIN_WITHIN_MS }, async () => {});
}

function clusterPath(dataDir: string): string {
  return join(dataDir, 'postgres');
}
