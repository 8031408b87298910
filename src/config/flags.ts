import { join } from 'node:path';
import { z } from 'zod';
import { tierConnections } from './tier-connections.ts';
import { trustedDocuments } from './trusted-documents.ts';
import * as values from './values.ts';

/** One row of the table that parsing, environment names, help and messages all come from. */
export interface Flag<T = unknown> {
  readonly name: string;
  /** What stands for the value in the help; absent: a boolean that needs none. */
  readonly placeholder?: string;
  /** Text to read when nothing is given; absent: none. */
  readonly default?: string;
  /** What the help shows as the default, when that is not `default` itself. */
  readonly shown?: string;
  readonly meaning: string;
  /** Completes "--flag takes …" when a value is refused. */
  readonly takes: string;
  /** Its value is in no message, and it may also come from a file: `TMS_…_FILE`. */
  readonly secret?: true;
  /** A variable of another name that is read last. */
  readonly alias?: string;
  /** A command rather than a setting: not in the environment. */
  readonly command?: true;
  readonly schema: z.ZodType<T, string>;
}

/** The directory that holds package.json. */
export const packageRoot = join(import.meta.dirname, '../..');

const infrastructureNames = [
  ...['www', 'api', 'admin', 'app', 'mail', 'smtp', 'imap', 'pop', 'mx', 'webmail', 'autodiscover'],
  ...[
    'autoconfig',
    'postmaster',
    'ftp',
    'sftp',
    'ssh',
    'vpn',
    'dns',
    'ns',
    'ns1',
    'ns2',
    'wpad',
    'localhost',
  ],
  ...[
    'cdn',
    'static',
    'assets',
    'media',
    'auth',
    'login',
    'sso',
    'account',
    'billing',
    'dashboard',
    'console',
  ],
  ...['docs', 'help', 'support', 'status', 'dev', 'test', 'staging', 'internal', 'root', 'graphql', 'grpc'],
];

const listenerPort = {
  placeholder: 'port',
  takes: 'a port from 0 (any free one) to 65535',
  schema: values.wholeNumber(0, 65535),
};
const yesOrNo = { default: 'false', shown: 'off', takes: 'nothing, true or false', schema: values.truth };

/** All flags, in the order of the help. */
export const flags = {
  port: { ...listenerPort, name: 'port', default: '50051', meaning: 'gRPC port' },
  httpPort: {
    ...listenerPort,
    name: 'http-port',
    default: '4000',
    meaning: 'port of GraphQL, health and metrics',
  },
  host: {
    name: 'host',
    placeholder: 'host',
    default: '127.0.0.1',
    meaning: 'bind address of both ports',
    takes: 'an IP address or a host name',
    schema: values.host,
  },
  role: {
    name: 'role',
    placeholder: 'role',
    default: 'all',
    meaning: 'all; api: no worker; worker: no GraphQL, no gRPC',
    takes: 'all, api or worker',
    schema: z.enum(['all', 'api', 'worker']),
  },
  processes: {
    name: 'processes',
    placeholder: 'number',
    default: '1',
    meaning: 'processes that share both ports, for several cores',
    takes: 'a number from 1 to 64',
    schema: values.wholeNumber(1, 64),
  },
  dbHost: {
    name: 'db-host',
    placeholder: 'host',
    default: 'localhost',
    meaning: 'PostgreSQL 14 to 18; without any --db flag an embedded one runs',
    takes: 'a host name or an IP address',
    schema: values.host,
  },
  dbPort: {
    name: 'db-port',
    placeholder: 'port',
    default: '5432',
    meaning: 'its port',
    takes: 'a port from 1 to 65535',
    schema: values.wholeNumber(1, 65535),
  },
  dbUser: {
    name: 'db-user',
    placeholder: 'user',
    default: 'admin',
    meaning: "the service's role: CREATEROLE, no superuser",
    takes: 'a role name of at most 63 bytes',
    schema: values.databaseName,
  },
  dbPass: {
    name: 'db-pass',
    placeholder: 'password',
    default: 'securepassword',
    meaning: 'its password',
    takes: 'a password without control characters',
    secret: true,
    schema: values.databasePassword,
  },
  dbName: {
    name: 'db-name',
    placeholder: 'name',
    default: 'tenant_registry',
    meaning: 'database of the registry and the tenants',
    takes: 'a database name of at most 63 bytes',
    schema: values.databaseName,
  },
  dbSslmode: {
    name: 'db-sslmode',
    placeholder: 'mode',
    shown: 'disable on loopback, else verify-full',
    meaning: 'disable, require (not verified) or verify-full',
    takes: 'disable, require or verify-full',
    schema: z.enum(['disable', 'require', 'verify-full']),
  },
  dbCa: {
    name: 'db-ca',
    placeholder: 'file',
    shown: "the system's",
    meaning: "authorities that may have signed PostgreSQL's certificate",
    takes: 'a readable PEM file of certificates',
    schema: values.certificates,
  },
  poolerHost: {
    name: 'pooler-host',
    placeholder: 'host',
    meaning: 'PgBouncer for leases, see docs/pgbouncer.md',
    takes: 'a host name or an IP address',
    schema: values.host,
  },
  poolerPort: {
    name: 'pooler-port',
    placeholder: 'port',
    meaning: 'its port; 6432 when only the host is given',
    takes: 'a port from 1 to 65535',
    schema: values.wholeNumber(1, 65535),
  },
  redisUrl: {
    name: 'redis-url',
    placeholder: 'url',
    meaning: 'Redis 6 or newer; without it events and cache stay on this machine',
    takes: 'redis://[user:password@]host[:port][/number] or the same with rediss://',
    secret: true,
    alias: 'REDIS_URL',
    schema: values.redisUrl,
  },
  redisCa: {
    name: 'redis-ca',
    placeholder: 'file',
    shown: "the system's",
    meaning: "authorities that may have signed Redis's certificate",
    takes: 'a readable PEM file of certificates',
    schema: values.certificates,
  },
  dataDir: {
    name: 'data-dir',
    placeholder: 'directory',
    default: '.data',
    meaning: 'embedded database, generated keys',
    takes: 'a directory, which is made when it is missing',
    schema: values.directory,
  },
  tenantMigrations: {
    name: 'tenant-migrations',
    placeholder: 'directory',
    // The starter comes with the project, wherever the process was started.
    default: join(packageRoot, 'prisma/tenant'),
    shown: 'prisma/tenant',
    meaning: 'SQL applied to every tenant schema',
    takes: 'a readable directory',
    schema: values.readableDirectory,
  },
  tlsCert: {
    name: 'tls-cert',
    placeholder: 'file',
    shown: 'certs/cert.pem, if there',
    meaning: 'certificate of both ports; none: plain text',
    takes: 'a PEM file, or none',
    schema: values.fileOrNone,
  },
  tlsKey: {
    name: 'tls-key',
    placeholder: 'file',
    shown: 'certs/key.pem, if there',
    meaning: 'its private key',
    takes: 'a PEM file',
    schema: values.file,
  },
  tlsClientCa: {
    name: 'tls-client-ca',
    placeholder: 'file',
    meaning: 'gRPC demands a client certificate that these have signed',
    takes: 'a PEM file',
    schema: values.file,
  },
  authSecret: {
    name: 'auth-secret',
    placeholder: 'secret',
    meaning: 'HS256 secret of the tokens; on loopback one is generated',
    takes: 'at least 32 bytes',
    secret: true,
    schema: values.authSecret,
  },
  authJwksUrl: {
    name: 'auth-jwks-url',
    placeholder: 'url',
    meaning: 'key set that checks tokens: RS256, ES256, EdDSA',
    takes: 'an https:// address of a JSON Web Key Set, without user and password',
    schema: values.jwksUrl,
  },
  authIssuer: {
    name: 'auth-issuer',
    placeholder: 'issuer',
    meaning: "what the tokens' claim iss must be",
    takes: 'a text of at most 1000 characters, as it stands in the claim iss',
    schema: values.claim,
  },
  authAudience: {
    name: 'auth-audience',
    placeholder: 'audience',
    meaning: "what the tokens' claim aud must be or list",
    takes: 'a text of at most 1000 characters, as it stands in the claim aud',
    schema: values.claim,
  },
  noAuth: { ...yesOrNo, name: 'no-auth', meaning: 'everybody is admin; loopback only' },
  encryptionKeys: {
    name: 'encryption-keys',
    placeholder: 'id:key,…',
    meaning: 'base64 of 32 bytes each; the first writes, all read',
    takes: 'id:base64(32 bytes), comma separated, ids of letters, digits, _ and - and at most 32 characters',
    secret: true,
    schema: values.encryptionKeys,
  },
  reservedSubdomains: {
    name: 'reserved-subdomains',
    placeholder: 'name,…',
    default: infrastructureNames.join(','),
    shown: 'www,api,admin,app,mail,…',
    meaning: 'subdomains no tenant may have; replaces the list',
    takes: 'DNS labels, comma separated',
    schema: values.labels,
  },
  tierConnections: {
    name: 'tier-connections',
    placeholder: 'tier=number,…',
    default: 'standard=5',
    meaning: 'leases and pooled connections per tenant, by tier',
    takes: 'tier=number, comma separated, numbers from 1 to 1000',
    schema: tierConnections,
  },
  workerConcurrency: {
    name: 'worker-concurrency',
    placeholder: 'number',
    default: '4',
    meaning: 'operations at once, of all --processes together',
    takes: 'a number from 1 to 64',
    schema: values.wholeNumber(1, 64),
  },
  corsOrigin: {
    name: 'cors-origin',
    placeholder: 'origin,…',
    meaning: "browsers' origins allowed",
    takes: 'origins such as https://app.example.com, comma separated, without a path',
    schema: values.origins,
  },
  rateLimit: {
    name: 'rate-limit',
    placeholder: 'number',
    default: '2000',
    meaning: 'objects a second per principal; 0 is off',
    takes: 'a number from 0 (off) to 1000000',
    schema: values.wholeNumber(0, 1_000_000),
  },
  trustedDocuments: {
    name: 'trusted-documents',
    placeholder: 'file',
    meaning: 'the only GraphQL documents that browsers may send',
    takes: 'a readable JSON file {"id": "document", …}',
    schema: trustedDocuments,
  },
  insecure: { ...yesOrNo, name: 'insecure', meaning: 'accept, loudly, what is refused for security' },
  logLevel: {
    name: 'log-level',
    placeholder: 'level',
    default: 'info',
    meaning: 'trace, debug, info, warn, error, fatal or silent',
    takes: 'trace, debug, info, warn, error, fatal or silent',
    schema: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']),
  },
  help: { ...yesOrNo, name: 'help', shown: '', meaning: 'print this table', command: true },
  version: { ...yesOrNo, name: 'version', shown: '', meaning: 'print the version', command: true },
} as const satisfies Record<string, Flag>;

/** The variable that means the same as a flag: `TMS_` and its name in capitals. */
export function variableOf(flag: Flag): string {
  return `TMS_${flag.name.toUpperCase().replaceAll('-', '_')}`;
}

/** The variable that names a file with the value of a secret flag. */
export function fileVariableOf(flag: Flag): string {
  return `${variableOf(flag)}_FILE`;
}
