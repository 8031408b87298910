/** What a load generator saw. */
export interface Measured {
  /** Right answers per second. */
  readonly perSecond: number;
  /** Right answers. */
  readonly answers: number;
  /** Answers that were refused, limited, wrong or missing. */
  readonly errors: number;
}

/** The errors of several together. */
export function errorsOf(measured: readonly Measured[]): number {
  return measured.reduce((sum, { errors }) => sum + errors, 0);
}
