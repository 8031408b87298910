import type { SecureContext } from 'node:tls';
import { clientContext } from './client-tls.ts';
import { ConfigError } from './config-error.ts';
import { flags } from './flags.ts';
import type { Settings } from './settings.ts';

/** What connections to Redis are encrypted with; the server's certificate is always verified. */
export interface RedisTls {
  readonly secureContext: SecureContext;
}

/**
 * TLS for a `rediss://` address; null for a plain one, or none.
 * @throws ConfigError for a bad value, and for authorities that would verify nothing
 */
export function redisTls(settings: Settings): RedisTls | null {
  const address = settings.given(flags.redisUrl);
  const authorities = settings.given(flags.redisCa);
  if (address !== undefined && new URL(address).protocol === 'rediss:') {
    return { secureContext: clientContext(authorities) };
  }
  if (authorities === undefined) return null;
  throw new ConfigError('--redis-ca verifies nothing without a rediss:// address: give one as --redis-url');
}
