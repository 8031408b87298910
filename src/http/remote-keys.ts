import { createRemoteJWKSet, errors, type JWTVerifyGetKey } from 'jose';
import type { Logger } from 'pino';
import { KeysUnavailableError } from '../core/errors.ts';

/** Milliseconds. */
export interface KeyTimings {
  /** How long one fetch may take, its body included. */
  readonly timeoutMs: number;
  /** Keys that are older are fetched again before they are used, if that succeeds. */
  readonly freshMs: number;
  /** Keys that are older are not used at all. */
  readonly staleMs: number;
  /** How often keys may be fetched because a token names one that is not known: anybody can name one. */
  readonly cooldownMs: number;
  /** How long after a fetch that failed none is tried. */
  readonly retryMs: number;
}

const usualTimings: KeyTimings = {
  timeoutMs: 5_000,
  freshMs: 10 * 60_000,
  staleMs: 60 * 60_000,
  cooldownMs: 30_000,
  retryMs: 5_000,
};

export interface RemoteKeysOptions {
  /** A JSON Web Key Set, RFC 7517 §5. */
  readonly url: string;
  readonly log: Pick<Logger, 'warn'>;
  readonly timings?: KeyTimings;
}

/**
 * The keys of a key server, for `jwtVerify`. jose fetches, imports and selects them; when to fetch is decided here,
 * since jose refuses every token when the server is out as its keys get old, and asks again and again then.
 *
 * What it answers throws {KeysUnavailableError} when no keys are to be had, and jose's `JWKSNoMatchingKey` for a key
 * that the server does not have either.
 */
export function createRemoteKeys({ url, log, timings = usualTimings }: RemoteKeysOptions): JWTVerifyGetKey {
  const { timeoutMs, freshMs, staleMs, cooldownMs, retryMs } = timings;
  const set = createRemoteJWKSet(new URL(url), {
    timeoutDuration: timeoutMs,
    cooldownDuration: Infinity,
    cacheMaxAge: Infinity,
  });
  const now = () => performance.now();
  let fetchedAt = -Infinity;
  let failedAt = -Infinity;
  let askedAt = -Infinity;
  let fetching: Promise<void> | null = null;

  async function fetchOnce(): Promise<void> {
    try {
      await set.reload();
      fetchedAt = now();
    } catch (error) {
      failedAt = now();
      log.warn(
        { err: error, url: withoutQuery(url) },
        'the keys that tokens are checked with cannot be fetched (--auth-jwks-url)',
      );
      throw new KeysUnavailableError({ cause: error });
    } finally {
      fetching = null;
    }
  }

  /** Who comes meanwhile waits for the same fetch. */
  async function fetchKeys(): Promise<void> {
    if (fetching === null && now() - failedAt < retryMs) throw new KeysUnavailableError();
    fetching ??= fetchOnce();
    await fetching;
  }

  const isOut = () => failedAt > fetchedAt;

  async function keepFresh(age: number): Promise<void> {
    if (age < freshMs) return;
    const fetched = fetchKeys();
    if (age >= staleMs) return fetched;
    // The old keys are good enough while the server is out; only the first one waits to find out that it is.
    const attempt = fetched.catch(() => {});
    if (!isOut()) await attempt;
  }

  // At once, so that the log tells of a wrong address before the first caller does.
  fetchKeys().catch(() => {});

  return async (header, token) => {
    const age = now() - fetchedAt;
    await keepFresh(age);
    try {
      return await set(header, token);
    } catch (error) {
      // A set that was fetched for this very token is not fetched once more.
      if (!(error instanceof errors.JWKSNoMatchingKey) || age >= staleMs) throw error;
      if (fetching === null && now() - askedAt < cooldownMs) {
        if (isOut()) throw new KeysUnavailableError();
        throw error;
      }
      await fetchKeys();
      askedAt = now();
      return set(header, token);
    }
  };
}

/** Some issuers have a key in the query of the address. */
function withoutQuery(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
