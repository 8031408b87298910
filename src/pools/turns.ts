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
  /**
   * How long a connection must have been idle to be closed for a tenant that has one already and wants more, milliseconds.
   * It would often be missed a moment later.
   */
  readonly settledMs: number;
  /** A connection is closed to make room for another tenant. */
  readonly onEviction: () => void;
}

/**
 * Who gets the next connection. Tenants that wait take turns, whatever the number of their waiters; those that have no
 * connection come first.
 */
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

export function createTurns({ budget, turnsInARow, settledMs, onEviction }: TurnsOptions): Turns {
  /** Those that have waiters; who is served goes to the end. */
  const waiting = new Set<Party>();
  const connected = new Set<Party>();
  let open = 0;
  /** How often a connection was lent in a row while others waited for it. */
  const turns = new WeakMap<object, number>();
  let settling: NodeJS.Timeout | undefined;

  /** Has nothing, and may have something: a connection that broke is lent until its borrower gives it back. */
  const isHungry = ({ connections, lent, max }: Party) => connections.kept === 0 && lent < max;

  /** Whether those who wait want more, each as many as `wantOf` says, than there is or will soon be room for. */
  function isShort(wantOf: (party: Party) => number): boolean {
    let room = budget - open;
    for (const { connections } of connected) room += connections.open - connections.kept;
    for (const party of waiting) {
      room -= wantOf(party);
      if (room < 0) return true;
    }
    return false;
  }

  const oneIfHungry = (party: Party) => (isHungry(party) ? 1 : 0);
  const asManyAsAllowed = ({ waiters, max, lent, connections }: Party) =>
    Math.max(0, Math.min(waiters.size, max - connections.open, max - lent));

  /** @param isRoomTaken what is free belongs to others, who have nothing */
  function serveOne(party: Party, isRoomTaken: boolean): boolean {
    const { connections, waiters, lent, max } = party;
    const mayOpen = open < budget && connections.open < max && (isHungry(party) || !isRoomTaken);
    if (lent >= max || (connections.idle <= 0 && !mayOpen)) return false;
    const [waiter] = waiters;
    if (waiter === undefined) return false;
    leave(party, waiter);
    party.lend(waiter);
    return true;
  }

  /** The one with the connection that was used least recently; null when all are in use. */
  function leastRecent(): Party | null {
    let oldest: Party | null = null;
    for (const party of connected) {
      if (party.connections.idleSince < (oldest?.connections.idleSince ?? Number.POSITIVE_INFINITY))
        oldest = party;
    }
    return oldest;
  }

  /** Closes idle connections for those who want some and cannot have them, the one first that was used least recently. */
  function makeRoom(): void {
    clearTimeout(settling);
    for (;;) {
      const victim = leastRecent();
      if (victim === null) return;
      if (!isShort(oneIfHungry)) {
        if (!isShort(asManyAsAllowed)) return;
        const left = victim.connections.idleSince + settledMs - performance.now();
        if (left > 0) {
          settling = setTimeout(serve, Math.ceil(left)).unref();
          return;
        }
      }
      victim.connections.closeIdle();
      onEviction();
    }
  }

  function serve(): void {
    const isRoomTaken = open + hungry() >= budget;
    // A set goes on with what is added meanwhile, so this ends when nobody who is left can be served.
    for (const party of waiting) {
      if (!serveOne(party, isRoomTaken) || party.waiters.size === 0) continue;
      waiting.delete(party);
      waiting.add(party);
    }
    makeRoom();
  }

  /** How many have nothing and wait; counts no further than the budget. */
  function hungry(): number {
    let count = 0;
    for (const party of waiting) {
      if (isHungry(party) && ++count >= budget) break;
    }
    return count;
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
    serve,
    mustYield(party, { client }) {
      // From who has more, also those may take who have some.
      const { kept } = party.connections;
      const claim = (other: Party) =>
        other !== party &&
        (isHungry(other) || other.connections.kept + 2 <= kept) &&
        asManyAsAllowed(other) > 0
          ? 1
          : 0;
      if (!isShort(claim)) {
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
