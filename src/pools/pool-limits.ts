import type { ConnectionLimits } from './tenant-connections.ts';

/** Milliseconds and numbers. */
export interface PoolLimits extends ConnectionLimits {
  /** How long a borrower waits for its turn. */
  readonly waitMs: number;
  /** How long bringing a session back to its beginnings may take. */
  readonly resetMs: number;
  /** How long what the registry said about a tenant is believed when one more connection is opened. */
  readonly accountMs: number;
  /** How often a connection is lent in a row to one tenant while others wait. */
  readonly turnsInARow: number;
  /** How long a connection must have been idle to be closed for a tenant that has one already and wants more. */
  readonly settledMs: number;
}

/** What is right for most. */
export const usualLimits: PoolLimits = {
  idleMs: 30_000,
  ageMs: 30 * 60_000,
  uses: 5_000,
  closeMs: 5_000,
  waitMs: 5_000,
  resetMs: 5_000,
  accountMs: 1_000,
  turnsInARow: 8,
  settledMs: 200,
};
