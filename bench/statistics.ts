/** The value below which the share `p` of all values lies (nearest rank), 0 < p <= 1. */
export function percentile(values: readonly number[], p: number): number {
  const value = values.toSorted((a, b) => a - b)[Math.ceil(p * values.length) - 1];
  if (value === undefined) throw new Error('there is no percentile of nothing');
  return value;
}

/** The middle value; of an even number the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[Math.floor(sorted.length / 2)]];
  if (low === undefined || high === undefined) throw new Error('there is no median of nothing');
  return (low + high) / 2;
}
