import type { SecureContext } from 'node:tls';
import type { SslMode } from '../core/dsn.ts';

/** Where a PostgreSQL database is and who logs in to it. */
export interface DatabaseSettings {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  /** False: in plain text. Required, since a connection that is made without it would ask PGSSLMODE. */
  readonly ssl: DatabaseTls | false;
}

/** How a connection to the database is encrypted. */
export interface DatabaseTls {
  /** One for all connections: reading the certificates of a whole system takes 80 ms. */
  readonly secureContext: SecureContext;
  /** Whether the server's certificate must be of a known authority and name the host. */
  readonly rejectUnauthorized: boolean;
}

/** How connections with these settings are encrypted, for those who are told to connect likewise. */
export function sslmodeOf({ ssl }: Pick<DatabaseSettings, 'ssl'>): SslMode {
  if (ssl === false) return 'disable';
  return ssl.rejectUnauthorized ? 'verify-full' : 'require';
}
