import type { Config } from '../config.ts';
import type { DatabaseSettings } from '../db/database-settings.ts';
import { authoritiesOf, clientContext } from './client-tls.ts';

/** PEM certificates; undefined: the system's. */
interface PackedTls {
  readonly authorities: readonly string[] | undefined;
}

type PackedDatabase = Omit<DatabaseSettings, 'ssl'> & {
  readonly ssl: false | (PackedTls & { readonly rejectUnauthorized: boolean });
};

/** A configuration that the structured clone algorithm can copy: what cannot be is there as what it is made of. */
export type PackedConfig = Omit<Config, 'database' | 'redisTls'> & {
  readonly database:
    | { readonly kind: 'embedded' }
    | { readonly kind: 'external'; readonly settings: PackedDatabase };
  readonly redisTls: PackedTls | null;
};

/** For another process of this program. It holds all secrets: it may go to nobody else. */
export function packConfig(config: Config): PackedConfig {
  const { database, redisTls } = config;
  return {
    ...config,
    database: database.kind === 'embedded' ? database : { ...database, settings: packed(database.settings) },
    redisTls: redisTls && { authorities: authoritiesOf(redisTls.secureContext) },
  };
}

/** The configuration that was packed. */
export function unpackConfig(config: PackedConfig): Config {
  const { database, redisTls } = config;
  return {
    ...config,
    database:
      database.kind === 'embedded' ? database : { ...database, settings: unpacked(database.settings) },
    redisTls: redisTls && { secureContext: clientContext(redisTls.authorities) },
  };
}

function packed(settings: DatabaseSettings): PackedDatabase {
  const { ssl } = settings;
  if (ssl === false) return { ...settings, ssl };
  const { secureContext, rejectUnauthorized } = ssl;
  return { ...settings, ssl: { authorities: authoritiesOf(secureContext), rejectUnauthorized } };
}

function unpacked(settings: PackedDatabase): DatabaseSettings {
  const { ssl } = settings;
  if (ssl === false) return { ...settings, ssl };
  const { authorities, rejectUnauthorized } = ssl;
  return { ...settings, ssl: { secureContext: clientContext(authorities), rejectUnauthorized } };
}
