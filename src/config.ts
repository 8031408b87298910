import type { CertificateFiles } from './config/certificate-files.ts';
import { ConfigError } from './config/config-error.ts';
import { externalDatabase } from './config/database.ts';
import { flags } from './config/flags.ts';
import { helpText, versionText } from './config/help.ts';
import { listenerTls } from './config/listener-tls.ts';
import { type Pooler, poolerOf } from './config/pooler.ts';
import { type RedisTls, redisTls } from './config/redis-tls.ts';
import { refuseDangers } from './config/refusals.ts';
import { createSettings, type Environment, refuseStrayVariables, type Settings } from './config/settings.ts';
import type { TierConnections } from './config/tier-connections.ts';
import type { DatabaseSettings } from './db/database-settings.ts';
import type { EncryptionKey } from './db/key-ring.ts';

export { ConfigError };

/** What tokens must say; null: it is not looked at. */
interface TokenClaims {
  readonly issuer: string | null;
  readonly audience: string | null;
}

/** Everything the process is told from outside, checked and frozen. */
export interface Config {
  readonly host: string;
  /** gRPC; 0 is any free port. */
  readonly port: number;
  /** GraphQL, health and metrics; 0 is any free port. */
  readonly httpPort: number;
  readonly role: 'all' | 'api' | 'worker';
  /** Those that serve, on the same ports; more than one have one more beside them, which starts them. */
  readonly processes: number;
  readonly database:
    | { readonly kind: 'embedded' }
    | { readonly kind: 'external'; readonly settings: DatabaseSettings };
  /** What leases name instead of the database. */
  readonly pooler: Pooler | null;
  readonly redisUrl: string | null;
  /** For a `rediss://` address; null: in plain text. */
  readonly redisTls: RedisTls | null;
  /** Absolute; may be missing still. */
  readonly dataDir: string;
  /** Absolute; a readable directory. */
  readonly tenantMigrations: string;
  /** TLS of both ports; null: plain text. */
  readonly tls: CertificateFiles | null;
  readonly authentication:
    | { readonly kind: 'none' }
    | ({ readonly kind: 'secret'; readonly secret: Uint8Array } & TokenClaims)
    | ({ readonly kind: 'jwks'; readonly url: string } & TokenClaims)
    /** A secret made once in the data directory. */
    | { readonly kind: 'generated' };
  /** The first writes, all read; null: one that is made once in the data directory. */
  readonly encryptionKeys: readonly EncryptionKey[] | null;
  readonly reservedSubdomains: ReadonlySet<string>;
  /** Leases of a tenant, and its pooled connections in this process; read it by `connectionsFor`. */
  readonly tierConnections: TierConnections;
  /** Operations at once, of all processes together; each has a part of them. */
  readonly workerConcurrency: number;
  /** Origins as browsers send them; `*` is all of them. */
  readonly corsOrigins: readonly string[];
  /** Objects a second that each principal may ask for; 0 is as many as they like. */
  readonly rateLimit: number;
  /** The GraphQL documents that browsers may send, by id; null is any. */
  readonly trustedDocuments: ReadonlyMap<string, string> | null;
  readonly insecure: boolean;
  readonly logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  /** NODE_ENV is `production`. */
  readonly production: boolean;
}

/** What the command line asks for. */
export type Invocation =
  | { readonly kind: 'serve'; readonly config: Config; readonly warnings: readonly string[] }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'version'; readonly text: string };

/**
 * Reads the command line and the environment: a flag wins over its `TMS_` variable, that over DATABASE_URL and
 * REDIS_URL, those over the default.
 * @param argv the arguments after the script's name
 * @throws ConfigError whose message is one line without secrets; the process should print it and exit with code 2
 */
export function readInvocation(argv: readonly string[], env: Environment): Invocation {
  const settings = createSettings(argv, env);
  if (settings.value(flags.help)) return { kind: 'help', text: helpText() };
  if (settings.value(flags.version)) return { kind: 'version', text: versionText() };
  refuseStrayVariables(env);
  const config = readConfig(settings, env);
  refuseContradictions(config, settings);
  const warnings = refuseDangers(config);
  return deepFreeze({ kind: 'serve', config, warnings });
}

function readConfig(settings: Settings, env: Environment): Config {
  const database = externalDatabase(settings, env);
  return {
    host: settings.value(flags.host),
    port: settings.value(flags.port),
    httpPort: settings.value(flags.httpPort),
    role: settings.value(flags.role),
    processes: settings.value(flags.processes),
    database: database === null ? { kind: 'embedded' } : { kind: 'external', settings: database },
    pooler: poolerOf(settings, database),
    redisUrl: settings.given(flags.redisUrl) ?? null,
    redisTls: redisTls(settings),
    dataDir: settings.value(flags.dataDir),
    tenantMigrations: settings.value(flags.tenantMigrations),
    tls: listenerTls(settings),
    authentication: readAuthentication(settings),
    encryptionKeys: settings.given(flags.encryptionKeys) ?? null,
    reservedSubdomains: settings.value(flags.reservedSubdomains),
    tierConnections: settings.value(flags.tierConnections),
    workerConcurrency: settings.value(flags.workerConcurrency),
    corsOrigins: settings.given(flags.corsOrigin) ?? [],
    rateLimit: settings.value(flags.rateLimit),
    trustedDocuments: settings.given(flags.trustedDocuments) ?? null,
    insecure: settings.value(flags.insecure),
    logLevel: settings.value(flags.logLevel),
    production: env.NODE_ENV === 'production',
  };
}

function readAuthentication(settings: Settings): Config['authentication'] {
  const secret = settings.given(flags.authSecret);
  const url = settings.given(flags.authJwksUrl);
  const issuer = settings.given(flags.authIssuer) ?? null;
  const audience = settings.given(flags.authAudience) ?? null;
  const off = settings.value(flags.noAuth);
  if (off && secret) throw new ConfigError('--no-auth takes no --auth-secret beside it: give one of them');
  if (off && url) throw new ConfigError('--no-auth takes no --auth-jwks-url beside it: give one of them');
  if (secret && url) {
    throw new ConfigError('--auth-jwks-url takes no --auth-secret beside it: give one of them');
  }
  if (secret) return { kind: 'secret', secret, issuer, audience };
  if (url) return { kind: 'jwks', url, issuer, audience };
  if (issuer !== null || audience !== null) {
    const flag = issuer !== null ? flags.authIssuer : flags.authAudience;
    throw new ConfigError(
      `--${flag.name} takes --auth-jwks-url or --auth-secret beside it: give one of them`,
    );
  }
  return { kind: off ? 'none' : 'generated' };
}

function refuseContradictions(config: Config, settings: Settings): void {
  if (config.port !== 0 && config.port === config.httpPort) {
    throw new ConfigError(`--port and --http-port take two different ports, not ${config.port} for both`);
  }
  if (config.database.kind === 'external') return;
  if (config.role !== 'all') {
    throw new ConfigError(`--role ${config.role} takes an external database: give --db-host or DATABASE_URL`);
  }
  if (config.production && !settings.has(flags.dataDir)) {
    throw new ConfigError(
      '--data-dir takes the directory of the embedded database and is needed with NODE_ENV=production; give it, or --db-host',
    );
  }
}

/** Freezes objects and arrays all the way down; sets, maps and bytes cannot be frozen, their types are read-only. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  for (const inner of Object.values(value)) deepFreeze(inner);
  return Object.freeze(value);
}
