import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type App, createApp } from '../../src/app.ts';
import { type Config, readInvocation } from '../../src/config.ts';
import type { Core } from '../../src/core/core.ts';
import { type Role, roles } from '../../src/core/model.ts';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { issueToken } from '../../src/http/token.ts';
import { createLog } from '../../src/log.ts';
import type { Timings } from '../../src/timings.ts';
import { createTestDatabase, type TestDatabase } from './database.ts';

export interface TestAppOptions {
  /** False: the operations of this process wait for ever, until another process works. */
  readonly worker?: boolean;
  /** A database that several apps share; else each has its own. */
  readonly database?: TestDatabase;
  readonly redisUrl?: string;
  readonly timings?: Partial<Timings>;
  readonly config?: Partial<Config>;
  /** Further arguments of the command line. */
  readonly args?: readonly string[];
}

export interface TestApp extends AsyncDisposable {
  readonly core: Core;
  readonly tenantPools: App['tenantPools'];
  readonly httpUrl: string;
  /** `host:port` */
  readonly grpcAddress: string;
  readonly tokens: Readonly<Record<Role, string>>;
  readonly secret: Uint8Array;
  /** The service's own role. */
  readonly database: DatabaseSettings;
  /** The superuser, on the same database. */
  readonly administrator: DatabaseSettings;
  /** What the app has logged, a line each. */
  readonly logged: readonly string[];
}

// One secret and one key for all apps of a file: several may share a database.
const secret = randomBytes(48).toString('base64url');
const encryptionKeys = [{ id: 'test', key: randomBytes(32) }];

const timings: Timings = {
  rereadIntervalMs: 10_000,
  leaseMs: 10_000,
  sweepIntervalMs: 500,
  connectionLeaseMs: 15 * 60_000,
  stepLimitMs: 60_000,
  firstRetryMs: 500,
  requestLimitMs: 30_000,
  drainMs: 5_000,
};

/** The real app on free ports, with a private database and a token for each role. */
export async function startTestApp(options: TestAppOptions = {}): Promise<TestApp> {
  await using stack = new AsyncDisposableStack();
  const database = options.database ?? stack.use(await createTestDatabase());
  const dataDir = await mkdtemp(join(tmpdir(), 'tms-app-'));
  await chmod(dataDir, 0o711);
  stack.defer(() => rm(dataDir, { recursive: true, force: true }));
  const { host, port, user, password, database: name } = database.settings;
  const invocation = readInvocation(
    [
      '--port=0',
      '--http-port=0',
      `--data-dir=${dataDir}`,
      `--auth-secret=${secret}`,
      `--role=${options.worker === false ? 'api' : 'all'}`,
    ]
      .concat([
        `--db-host=${host}`,
        `--db-port=${port}`,
        `--db-user=${user}`,
        `--db-pass=${password}`,
        `--db-name=${name}`,
      ])
      .concat(options.redisUrl ? [`--redis-url=${options.redisUrl}`] : [])
      .concat(options.args ?? []),
    // Whoever has made certificates for development has them where the service looks.
    { TMS_TLS_CERT: 'none' },
  );
  if (invocation.kind !== 'serve')
    throw new Error('the configuration of the test app asks for something else');
  const logged: string[] = [];
  const log = createLog('trace', { write: (line) => void logged.push(line) });
  // How many objects are asked for in a second depends on the machine: what is not about the limit has none.
  const config = { ...invocation.config, rateLimit: 0, encryptionKeys, ...options.config };
  const app: App = stack.use(await createApp(config, log, { ...timings, ...options.timings }));
  const key = new TextEncoder().encode(secret);
  const token = (role: Role) => issueToken(key, { subject: `test-${role}`, role, expiresIn: 3_600 });
  const [viewer = '', editor = '', admin = ''] = await Promise.all(roles.map(token));
  const running = stack.move();
  return {
    core: app.core,
    tenantPools: app.tenantPools,
    httpUrl: `${config.tls === null ? 'http' : 'https'}://127.0.0.1:${app.httpPort}`,
    grpcAddress: `127.0.0.1:${app.grpcPort}`,
    tokens: { viewer, editor, admin },
    secret: key,
    database: database.settings,
    administrator: database.administrator,
    logged,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
