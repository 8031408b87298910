import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, copyFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createSecureContext } from 'node:tls';
import type { KeyPair } from '../../scripts/development-certificates.ts';
import { startEmbeddedPostgres } from '../../src/db/embedded-postgres.ts';
import { postgresAccount } from '../../src/db/postgres-account.ts';
import { asAdministrator, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { freePort } from '../support/free-port.ts';

/** Null when there is a `redis-server` to start; else why not. */
export const redisProgramMissing: string | null =
  spawnSync('redis-server', ['--version']).status === 0
    ? null
    : 'the tests of TLS to Redis are skipped: no redis-server on the PATH';

export interface EncryptedPostgres extends AsyncDisposable {
  /** Empty; its logins are made without a look at the certificate. */
  readonly database: TestDatabase;
  /** What it shows, where PostgreSQL's own account may read it. */
  readonly files: KeyPair;
  /** New connections see this certificate. */
  show(pair: KeyPair): Promise<void>;
}

/** A PostgreSQL that takes encrypted connections and no others. */
export async function startEncryptedPostgres(pair: KeyPair): Promise<EncryptedPostgres> {
  await using stack = new AsyncDisposableStack();
  const dataDir = await mkdtemp(join(tmpdir(), 'tms-tls-'));
  await chmod(dataDir, 0o711);
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const account = await postgresAccount();
  const files: KeyPair = { cert: join(dataDir, 'server.pem'), key: join(dataDir, 'server-key.pem') };
  const put = async ({ cert, key }: KeyPair) => {
    await copyFile(cert, files.cert);
    await copyFile(key, files.key);
    if (account === null) return;
    for (const path of [files.cert, files.key]) await chown(path, account.uid, account.gid);
  };
  await put(pair);
  const postgres = stack.use(
    await startEmbeddedPostgres({
      dataDir,
      settings: { fsync: 'off', ssl: 'on', ssl_cert_file: files.cert, ssl_key_file: files.key },
      log: () => {},
    }),
  );
  await writeFile(join(dataDir, 'postgres/pg_hba.conf'), 'hostssl all all all scram-sha-256\n');
  await asAdministrator(postgres.administrator, 'SELECT pg_reload_conf()');
  const ssl = { secureContext: createSecureContext(), rejectUnauthorized: false };
  const administrator = { ...postgres.administrator, database: postgres.registry.database, ssl };
  // A reload is not over when it has been asked for.
  const reloaded = (shown: () => Promise<boolean>) => eventually(shown, 10_000);
  await reloaded(async () => {
    const plain = asAdministrator(postgres.administrator, 'SELECT');
    return plain.then(
      () => false,
      (error) => String(error).includes('no encryption'),
    );
  });
  const running = stack.move();
  return {
    database: { settings: { ...postgres.registry, ssl }, administrator, async [Symbol.asyncDispose]() {} },
    files,
    async show(next) {
      const before = await asAdministrator(administrator, 'SELECT pg_conf_load_time()::text AS at');
      await put(next);
      await asAdministrator(administrator, 'SELECT pg_reload_conf()');
      await reloaded(async () => {
        const now = await asAdministrator(administrator, 'SELECT pg_conf_load_time()::text AS at');
        return now.rows[0]?.at !== before.rows[0]?.at;
      });
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** The port of a private `redis-server` on loopback that speaks TLS alone. */
export async function startEncryptedRedis(
  stack: AsyncDisposableStack,
  { cert, key }: KeyPair,
): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'tms-redis-tls-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const port = await freePort();
  const tls = ['--tls-port', `${port}`, '--tls-cert-file', cert, '--tls-key-file', key];
  const others = ['--port', '0', '--tls-auth-clients', 'no', '--tls-ca-cert-file', cert];
  const server = spawn(
    'redis-server',
    [...tls, ...others, '--bind', '127.0.0.1', '--save', '', '--dir', directory],
    {
      stdio: 'ignore',
    },
  );
  const ended = once(server, 'close');
  stack.defer(async () => {
    server.kill('SIGKILL');
    await ended;
  });
  await eventually(async () => {
    if (server.exitCode !== null) throw new Error('this redis-server does not speak TLS');
    const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    await once(socket, 'secureConnect');
    socket.destroy();
    return true;
  }, 10_000);
  return port;
}
