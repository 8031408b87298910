import { causesOf } from './retry-policy.ts';

const longest = 500;
/** What is looked at: some patterns take time by the square of it. */
const longestRead = 4 * longest;

const unreachable = 'the database could not be reached';
const networkCodes =
  /^(E(CONN|HOST|NET|ADDR|AI_)[A-Z]+|EPIPE|ETIMEDOUT|ENOTFOUND|ERR_(TLS|SSL|SOCKET)_\w+|\w*CERT\w*|\w*SIGNATURE|080..)$/;
// What pg and its pool throw without a code.
const networkMessages =
  /^(Connection terminated|timeout exceeded when trying to connect|timeout expired|Client has encountered a connection error|Client was closed)/;

const hidden = '[redacted]';
const secretNames = 'pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|verifier|key|authorization';
const hostNames = 'host(?: ?name|addr)?|server at|address|socket';
const named = String.raw`(?:${secretNames}|${hostNames})(?:["')\]]*\s*[=:]\s*|\s+(?=E?["']))(?:(?:bearer|basic)\s+)?`;
/** In quotes, in parentheses, or up to the next space; what is glued to it goes along. */
const value = String.raw`E?'(?:[^'\\]|\\.|'')*'?\S*|"(?:[^"\\]|\\.|"")*"?\S*|\([^)]*\)?\S*|\S+`;

// In this order. None asks for a boundary in front, so that nothing saves a secret by being glued to it.
const patterns: readonly (readonly [RegExp, string | ((match: string) => string)])[] = [
  // Keys in PEM.
  [/-----BEGIN.*?(-----END[^-]*(-----)?|$)/g, hidden],
  // What is secret, or a host, by the name in front of it; the value may begin with another such name.
  [new RegExp(`(${named})(?:(?!E?["'(])\\S*?${named})*(?:${value})`, 'gi'), `$1${hidden}`],
  // URLs; e-mail addresses and user:password@host.
  [/[a-z][a-z0-9+.-]*:\/\/\S+/gi, hideWord],
  [/\S+@\S+/g, hideWord],
  // SCRAM verifiers, what the key ring sealed, JWTs, keys.
  [/SCRAM-SHA-\S*\$\S*/gi, hidden],
  [/v1:[\w-]+:[\w-]{16}:[\w-]+/g, hidden],
  [/eyJ[\w-]+(\.[\w-]*)*/g, hidden],
  [/[\w+/=-]{20,}/g, (run) => (isKey(run) ? hidden : run)],
  // Paths, those of sockets among them.
  [/(["'])\/[^"']+\1?/g, `$1${hidden}$1`],
  [/\S*\.s\.PGSQL\.\S*/g, hidden],
  [/\/[^\s/"']+(\/[^\s/"']*)+/g, hidden],
  // IPv6, IPv4, host names, with port or mask.
  [/\[?[0-9a-f]{0,4}(:[0-9a-f]{0,4}){2,}(\.\d+)*(%[\w.-]+)?\]?(:\d+)?(\/\d+)?/gi, hidden],
  [/\d+(\.\d+){3,}(:\d+)?(\/\d+)?/g, hidden],
  [/[\p{L}\p{N}_-]+(\.[\p{L}\p{N}_-]+)*(:\d{1,5}(?![\w-]))?/gu, (word) => (isHost(word) ? hidden : word)],
];

/**
 * Why a step failed, in one line of at most 500 characters that every viewer may read: no addresses, neither of people
 * nor of machines, and no secrets. The names of PostgreSQL's objects and of migration files stay.
 */
export function reasonOf(error: unknown): string {
  const causes = causesOf(error);
  const told = causes.find(({ message }) => message !== '')?.message ?? '';
  const reason = causes.filter(isNetworkFailure).reduce(
    // A wrapper may quote it, or say something better.
    (text, { message }) =>
      text === '' ? unreachable : message === '' ? text : text.replaceAll(message, unreachable),
    typeof error === 'string' ? error : told,
  );
  return shortened(redacted(onOneLine(reason))) || 'the step failed without saying why';
}

function isNetworkFailure(error: Error): boolean {
  const code: unknown = Reflect.get(error, 'code');
  return (
    (typeof code === 'string' && networkCodes.test(code)) ||
    Reflect.get(error, 'syscall') === 'connect' ||
    networkMessages.test(error.message)
  );
}

/** Without anything invisible, which could hide an address from the patterns. */
function onOneLine(text: string): string {
  const line = text
    .replaceAll(/\p{Cf}/gu, '')
    .replaceAll(/[\p{Cc}\p{Cs}\s]+/gu, ' ')
    .trim();
  // What was cut in the middle would not be recognised any more: the last word goes.
  return line.length <= longestRead ? line : `${line.slice(0, longestRead).replace(/\S*$/, '')}…`;
}

function redacted(line: string): string {
  return patterns.reduce(
    (text, [pattern, replacement]) =>
      typeof replacement === 'string'
        ? text.replaceAll(pattern, replacement)
        : text.replaceAll(pattern, (match) => replacement(match)),
    line,
  );
}

function shortened(line: string): string {
  return line.length <= longest ? line : `${line.slice(0, longest - 1).replace(/[\uD800-\uDBFF]$/, '')}…`;
}

/** The punctuation around a word belongs to the sentence. */
function hideWord(word: string): string {
  return word.replace(/^(["'(<]*).*?(["')>,.;:]*)$/, `$1${hidden}$2`);
}

/** Whether a run of letters is too much of a jumble for a name; those of tenants are hexadecimal. */
function isKey(run: string): boolean {
  if (/[0-9a-f]{32}/i.test(run.replaceAll(/tenant_[0-9a-f]{32}(?![0-9a-f])/g, ''))) return true;
  return /[a-z]/.test(run) && /[A-Z]/.test(run) && (/\d/.test(run) || run.length >= 40);
}

/** Endings of hosts' names that are hardly ones of columns. */
const hostEndings =
  /^(com|net|org|edu|gov|io|dev|cloud|eu|internal|intranet|local|localdomain|lan|corp|home|private|example|test|invalid|svc|au|br|ca|ch|cn|cz|de|dk|es|fi|fr|gr|hu|ie|jp|kr|nl|nz|pl|pt|ro|ru|se|sg|tr|tw|ua|uk|us|za)$/i;

/** `schema.table` and `table.column` are no hosts, nor are versions and migration files. */
function isHost(word: string): boolean {
  const [name = '', port] = word.split(':');
  const labels = name.split('.');
  const ending = labels.at(-1) ?? '';
  if (ending === 'sql') return false;
  if (port !== undefined || /localhost/i.test(name)) return true;
  if (labels.length === 1 || /^[\d.]+$/.test(name)) return false;
  const inSchema = /^(public|pg_catalog|information_schema|tenant_[0-9a-f]{32})\./.test(name);
  return hostEndings.test(ending) || labels.length > (inSchema ? 3 : 2);
}
