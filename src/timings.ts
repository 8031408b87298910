/** What tests set otherwise; milliseconds. */
export interface Timings {
  /** A watcher reads the history again after this long without an event. */
  readonly rereadIntervalMs: number;
  /** A runner that is silent for this long has lost its operation. */
  readonly leaseMs: number;
  /** How often operations of dead workers are looked for, and leases that have expired. */
  readonly sweepIntervalMs: number;
  /** How long a login is lent. */
  readonly connectionLeaseMs: number;
  /** How long a step may take that says nothing else. */
  readonly stepLimitMs: number;
  /** The first retry of a failed step; later ones wait longer. */
  readonly firstRetryMs: number;
  /** How long a query, a mutation, the beginning of a subscription or a unary call may take. */
  readonly requestLimitMs: number;
  /** How long a drain waits for what is in flight. */
  readonly drainMs: number;
}

export const usualTimings: Timings = {
  rereadIntervalMs: 10_000,
  leaseMs: 10_000,
  sweepIntervalMs: 2_000,
  connectionLeaseMs: 15 * 60_000,
  stepLimitMs: 60_000,
  firstRetryMs: 500,
  requestLimitMs: 30_000,
  drainMs: 10_000,
};
