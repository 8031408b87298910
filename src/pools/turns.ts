import type { Connection, TenantConnections } from './tenant-connections.ts';

/** Somebody who wants a connection. */
export interface Waiter {
  /** `suspicions`: the tenant's, when the connection was asked for. */
  taken(connection: Connection, suspicions: number): void;
  failed(error: unknown): void;
}

/** A tenant, as far as the distribution of connections goes. */
export interface Party {
  readonly connections: TenantConnections;
  /** Connections at most. */
  readonly max: number;
  /** Connections that are lent, or are being opened for somebody. */
  readonly lent: number;
  /** First come, first served. */
  readonly waiters: Set<Waiter>;
  lend(waiter: Waiter): void;
}

export interface TurnsOptions {
  /** Connections of all tenants together, at most. */
  readonly budget: number;
  /** How often a connection is lent in a row to one tenant while others wait; logging in costs more than a short turn. */
  readonly turnsInARow: number;
  /** A connection is closed to make room for another tenant. */
  readonly onEviction: () => void;
}

/** Who gets the next connection: tenants that wait take turns, whatever the number of their waiters. */
export interface Turns {
  /** Puts the waiter behind the others of its tenant, and the tenant behind the others that wait. */
  wait(party: Party, waiter: Waiter): void;
  /** Takes one out who does not wait any more. */
  leave(party: Party, waiter: Waiter): void;
  /** Distributes what there is; to be called whenever there may be more of it. */
  serve(): void;
  /** Whether a connection that `party` is done with is to be closed for the sake of others. */
  mustYield(party: Party, connection: Connection): boolean;
  opened(party: Party): void;
  closed(party: Party): void;
}

export function createTurns({ budget, turnsInARow, onEviction }: TurnsOptions): Turns {
  /** Those that have waiters; who is served goes to the end. */
  const waiting = new Set<Party>();
  const connected = new Set<Party>();
  let open = 0;
  /** How often a connection was lent in a row while others waited. */
  const turns = new WeakMap<object, number>();

  /** Whether anybody but `except` waits in vain: for more connections than there is or will soon be room for. */
  function isShort(except: Party | null): boolean {
    let room = budget - open;
    for (const { connections } of connected) room += connections.open - connections.kept;
    for (const party of waiting) {
      if (party === except) continue;
      room -= Math.max(0, Math.min(party.waiters.size, party.max - party.connections.open));
      if (room < 0) return true;
    }
    return false;
  }

  function serveOne(party: Party): boolean {
    const { connections, waiters, lent, max } = party;
    const mayOpen = open < budget && connections.open < max;
    if (lent >= max || (connections.idle <= 0 && !mayOpen)) return false;
    const [waiter] = waiters;
    if (waiter === undefined) return false;
    leave(party, waiter);
    party.lend(waiter);
    return true;
  }

  /** Closes the connection that was used least recently. @returns false when all are in use */
  function evict(): boolean {
    let oldest: Party | null = null;
    for (const party of connected) {
      if (party.connections.idleSince < (oldest?.connections.idleSince ?? Number.POSITIVE_INFINITY))
        oldest = party;
    }
    if (oldest === null) return false;
    oldest.connections.closeIdle();
    onEviction();
    return true;
  }

  function leave(party: Party, waiter: Waiter): void {
    party.waiters.delete(waiter);
    if (party.waiters.size === 0) waiting.delete(party);
  }

  return {
    wait(party, waiter) {
      party.waiters.add(waiter);
      waiting.add(party);
    },
    leave,
    serve() {
      // A set goes on with what is added meanwhile, so this ends when nobody who is left can be served.
      for (const party of waiting) {
        if (!serveOne(party) || party.waiters.size === 0) continue;
        waiting.delete(party);
        waiting.add(party);
      }
      while (isShort(null) && evict());
    },
    mustYield(party, connection) {
      const { client } = connection;
      if (!isShort(party)) {
        turns.delete(client);
        return false;
      }
      const count = (turns.get(client) ?? 0) + 1;
      turns.set(client, count);
      if (party.waiters.size > 0 && count < turnsInARow) return false;
      // What it makes room for comes first.
      if (waiting.delete(party)) waiting.add(party);
      onEviction();
      return true;
    },
    opened(party) {
      open++;
      connected.add(party);
    },
    closed(party) {
      open--;
      if (party.connections.open === 0) connected.delete(party);
    },
  };
}
