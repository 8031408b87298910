/** Where PostgreSQL listens, and a database there. */
export interface DatabaseAddress {
  readonly host: string;
  readonly port: number;
  readonly database: string;
}

/**
 * How a connection is encrypted, in libpq's words. Of its modes those that say what they mean: the others try without
 * encryption, or do not look at the name.
 */
export type SslMode = 'disable' | 'require' | 'verify-full';

/** Where somebody else is to connect to, and how. */
export interface DatabaseEndpoint extends DatabaseAddress {
  readonly sslmode: SslMode;
}

const loopback: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '::1']);

/**
 * Whether a connection string names this database, whatever else it says: a URL or keywords, as libpq reads them
 * (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING). All names of the own machine are one.
 */
export function namesDatabase(dsn: string, address: DatabaseAddress): boolean {
  const found = /^postgres(ql)?:\/\//.test(dsn) ? parametersOfUrl(dsn) : parametersOfKeywords(dsn);
  if (found === null) return false;
  const { host, hostaddr, port = '5432', dbname } = found;
  const hosts = [host, hostaddr].filter((name) => name !== undefined);
  return (
    hosts.length > 0 &&
    hosts.every((name) => isSameHost(name, address.host)) &&
    port === String(address.port) &&
    dbname === address.database
  );
}

type Parameters = Partial<Record<string, string>>;

/** What stands behind the question mark counts more than what stands before it. */
function parametersOfUrl(dsn: string): Parameters | null {
  try {
    const { hostname, port, pathname, searchParams } = new URL(dsn);
    return {
      ...(hostname !== '' && { host: decodeURIComponent(hostname).replace(/^\[(.*)\]$/, '$1') }),
      ...(port !== '' && { port }),
      ...(pathname.length > 1 && { dbname: decodeURIComponent(pathname.slice(1)) }),
      ...Object.fromEntries(searchParams),
    };
  } catch {
    return null;
  }
}

function parametersOfKeywords(dsn: string): Parameters | null {
  const parameters: Parameters = {};
  const pair = /\s*(\w+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))(?=\s|$)/sy;
  const text = dsn.trim();
  while (pair.lastIndex < text.length) {
    const [, name = '', quoted, bare] = pair.exec(text) ?? [];
    if (name === '') return null;
    parameters[name] = (quoted ?? bare ?? '').replaceAll(/\\(.)/gs, '$1');
  }
  return parameters;
}

function isSameHost(one: string, other: string): boolean {
  const [a, b] = [one.toLowerCase(), other.toLowerCase()];
  return a === b || (loopback.has(a) && loopback.has(b));
}
