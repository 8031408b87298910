import type { SslMode } from '../core/dsn.ts';
import type { DatabaseTls } from '../db/database-settings.ts';
import { clientContext } from './client-tls.ts';
import { ConfigError } from './config-error.ts';
import { flags } from './flags.ts';
import { isLoopback } from './hosts.ts';
import type { Settings } from './settings.ts';

/** What DATABASE_URL says about it. */
export interface UrlTls {
  readonly sslmode?: SslMode | undefined;
  readonly sslrootcert?: readonly string[] | undefined;
}

/**
 * How connections to the database at `host` are encrypted: as a flag or its variable says, else as DATABASE_URL says,
 * else not at all on loopback and with everything verified elsewhere.
 * @throws ConfigError for a bad value, and for authorities that would verify nothing
 */
export function databaseTls(settings: Settings, host: string, url: UrlTls): DatabaseTls | false {
  const usual: SslMode = isLoopback(host) ? 'disable' : 'verify-full';
  const mode = settings.given(flags.dbSslmode) ?? url.sslmode ?? usual;
  const authorities = settings.given(flags.dbCa) ?? url.sslrootcert;
  if (authorities !== undefined && mode !== 'verify-full') {
    throw new ConfigError(
      `--db-ca verifies nothing with --db-sslmode ${mode}: give --db-sslmode verify-full, or no --db-ca`,
    );
  }
  if (mode === 'disable') return false;
  const verified = mode === 'verify-full';
  return { secureContext: clientContext(verified ? authorities : []), rejectUnauthorized: verified };
}
