import type { Config } from '../config.ts';
import { ConfigError } from './config-error.ts';
import { isLoopback, isLoopbackName } from './hosts.ts';

/** Something dangerous about a configuration: refused, unless --insecure accepts it. */
interface Danger {
  readonly present: boolean;
  readonly what: string;
  readonly remedy: string;
}

/**
 * Refuses what would put tenants' data in reach of strangers.
 * @returns with --insecure, a warning for each thing that it accepted
 * @throws ConfigError without --insecure, for the first of them
 */
export function refuseDangers(config: Config): readonly string[] {
  const present = dangersOf(config).filter((danger) => danger.present);
  const [first] = present;
  if (first && !config.insecure) {
    throw new ConfigError(`${first.what} is refused: ${first.remedy}, or accept it with --insecure`);
  }
  return present.map((danger) => `--insecure accepts ${danger.what}`);
}

function dangersOf(config: Config): readonly Danger[] {
  const { authentication, database, pooler } = config;
  const exposed = !isLoopback(config.host);
  const remoteDatabase = database.kind === 'external' && !isLoopback(database.settings.host);
  const plainDatabase = database.kind === 'embedded' || database.settings.ssl === false;
  return [
    {
      present: exposed && authentication.kind === 'none',
      what: `--no-auth with --host ${config.host} (everybody on the network is admin)`,
      remedy: 'give --auth-secret or --auth-jwks-url instead',
    },
    {
      present: exposed && authentication.kind === 'generated',
      what: `--host ${config.host} without an authentication setting`,
      remedy: 'give --auth-secret (at least 32 bytes) or --auth-jwks-url',
    },
    {
      present: authentication.kind === 'jwks' && isOpen(authentication.url, 'http:'),
      what: '--auth-jwks-url outside loopback without TLS (whoever is on the way can sign tokens)',
      remedy: 'take an https:// address',
    },
    {
      present: authentication.kind === 'jwks' && authentication.issuer === null,
      what: '--auth-jwks-url without --auth-issuer',
      remedy: "give what the tokens' claim iss is",
    },
    {
      present: authentication.kind === 'jwks' && authentication.audience === null,
      what: '--auth-jwks-url without --auth-audience (tokens for other services are good here)',
      remedy: "give what the tokens' claim aud has for this service",
    },
    {
      present: exposed && config.tls === null,
      what: `--host ${config.host} without TLS`,
      remedy: 'give --tls-cert and --tls-key, or a loopback address such as 127.0.0.1',
    },
    {
      present: remoteDatabase && database.settings.ssl === false,
      what: '--db-sslmode disable with --db-host outside loopback',
      remedy: 'give --db-sslmode verify-full',
    },
    {
      present: pooler !== null && !isLoopback(pooler.host) && plainDatabase,
      what: '--pooler-host outside loopback with --db-sslmode disable (leases would send data in plain text)',
      remedy: 'give --db-sslmode verify-full, and PgBouncer a certificate',
    },
    {
      present: remoteDatabase && config.encryptionKeys === null,
      what: '--db-host outside loopback without --encryption-keys',
      remedy: 'give id:base64(32 bytes)',
    },
    {
      present: config.redisUrl !== null && isOpen(config.redisUrl, 'redis:'),
      what: '--redis-url outside loopback without TLS',
      remedy: 'take a rediss:// address',
    },
    {
      present: config.corsOrigins.includes('*'),
      what: '--cors-origin * (pages of every site)',
      remedy: 'list origins such as https://app.example.com',
    },
  ];
}

/** Whether an address has the plain one of two protocols and is not this machine's. */
function isOpen(address: string, plain: 'http:' | 'redis:'): boolean {
  const url = new URL(address);
  return url.protocol === plain && !isLoopbackName(url.hostname);
}
