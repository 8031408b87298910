import type { Authenticate } from '../core/core.ts';
import type { Caller } from '../core/model.ts';

/** How many tokens are remembered; the one that was verified first is forgotten first. */
const maxCallers = 1_000;

/** How long, milliseconds, at most: a key that was taken out of a key set must not open for much longer. */
const rememberedMs = 60_000;

/**
 * Verifies each token once a minute instead of with every request: that costs more than most requests. No longer than
 * the token is valid, and only what was found good.
 */
export function rememberCallers(authenticate: Authenticate, now: () => number = Date.now): Authenticate {
  const known = new Map<string, { readonly caller: Caller; readonly until: number }>();

  async function ask(authorization: string | undefined): Promise<Caller> {
    const caller = await authenticate(authorization);
    if (authorization === undefined) return caller;
    known.delete(authorization);
    known.set(authorization, { caller, until: Math.min(caller.expiresAt, now() + rememberedMs) });
    const [oldest] = known.size > maxCallers ? known.keys() : [];
    if (oldest !== undefined) known.delete(oldest);
    return caller;
  }

  return (authorization) => {
    const entry = authorization === undefined ? undefined : known.get(authorization);
    return entry !== undefined && now() < entry.until ? entry.caller : ask(authorization);
  };
}
