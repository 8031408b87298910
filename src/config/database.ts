import type { DatabaseSettings } from '../db/database-settings.ts';
import { ConfigError } from './config-error.ts';
import { databaseTls, type UrlTls } from './database-tls.ts';
import { type Flag, flags } from './flags.ts';
import { type Environment, parseValue, type Settings } from './settings.ts';

/**
 * The external PostgreSQL: each part from its flag or variable, else from DATABASE_URL, else its default.
 * @returns null when nothing at all names a database
 * @throws ConfigError for a bad value or a bad DATABASE_URL
 */
export function externalDatabase(settings: Settings, env: Environment): DatabaseSettings | null {
  const { dbHost, dbPort, dbUser, dbPass, dbName, dbSslmode, dbCa } = flags;
  const rows: readonly Flag[] = [dbHost, dbPort, dbUser, dbPass, dbName];
  const count = rows.filter((flag) => settings.has(flag)).length;
  const address = env.DATABASE_URL;
  if (count === 0 && !settings.has(dbSslmode) && !settings.has(dbCa) && !address) return null;
  // With every part given elsewhere nobody asks the URL, which other tools may need in a form of their own.
  const url = address && count < rows.length ? parseDatabaseUrl(address) : {};
  const host = settings.given(dbHost) ?? url.host ?? settings.value(dbHost);
  return {
    host,
    port: settings.given(dbPort) ?? url.port ?? settings.value(dbPort),
    user: settings.given(dbUser) ?? url.user ?? settings.value(dbUser),
    password: settings.given(dbPass) ?? url.password ?? settings.value(dbPass),
    database: settings.given(dbName) ?? url.database ?? settings.value(dbName),
    // How the URL's server is encrypted says nothing of another one.
    ssl: databaseTls(settings, host, settings.has(dbHost) ? {} : url),
  };
}

type UrlParts = UrlTls & {
  [Part in Exclude<keyof DatabaseSettings, 'ssl'>]?: DatabaseSettings[Part] | undefined;
};

/**
 * Reads `postgres://user:password@host:port/name`, percent-encoded, with libpq's `?sslmode=…&sslrootcert=…`; a part that
 * is missing is undefined.
 *
 * No part is quoted in a message: a password with a raw `/` or `@` in it ends up in the wrong part.
 */
function parseDatabaseUrl(text: string): UrlParts {
  const refuse = (why: string): never => {
    throw new ConfigError(`DATABASE_URL takes postgres://user:password@host:port/name; ${why}`);
  };
  const url = URL.parse(text);
  if (url === null || !/^postgres(ql)?:$/.test(url.protocol)) {
    return refuse('that is no such address (are special characters percent-encoded?)');
  }
  const parameters = [...url.searchParams.keys()];
  const isKnown = (name: string) => name === 'sslmode' || name === 'sslrootcert';
  if (!parameters.every(isKnown) || new Set(parameters).size < parameters.length) {
    refuse('of query parameters it takes sslmode and sslrootcert, each once (a ? is written %3F elsewhere)');
  }
  if (text.includes('#')) refuse('a # has to be written %23');
  const name = url.pathname.replace(/^\//, '');
  if (name.includes('/')) refuse('a / in the password or the name has to be written %2F');
  const part = <T>(flag: Flag<T>, encoded: string): T | undefined => {
    if (encoded === '') return undefined;
    return parseValue(flag, decoded(encoded), { label: `--${flag.name} (DATABASE_URL)`, secret: true });
  };
  const parameter = <T>(flag: Flag<T>, name: string): T | undefined => {
    const value = url.searchParams.get(name);
    if (value === null) return undefined;
    return parseValue(flag, value, { label: `--${flag.name} (DATABASE_URL)`, secret: true });
  };
  const decoded = (encoded: string): string => {
    try {
      return decodeURIComponent(encoded);
    } catch {
      return refuse('a % that stands for itself has to be written %25');
    }
  };
  return {
    host: part(flags.dbHost, url.hostname),
    port: part(flags.dbPort, url.port),
    user: part(flags.dbUser, url.username),
    password: part(flags.dbPass, url.password),
    database: part(flags.dbName, name),
    sslmode: parameter(flags.dbSslmode, 'sslmode'),
    sslrootcert: parameter(flags.dbCa, 'sslrootcert'),
  };
}
