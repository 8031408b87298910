import type { Measured } from './measured.ts';

/** Requests of the first run, by which the others are dimensioned. */
const firstCount = 10_000;

/** Runs of about so many seconds, of a load that is told a number of requests: by the rate of the run before. */
export function calibrated(
  seconds: number,
  run: (requests: number) => Promise<Measured>,
): () => Promise<Measured> {
  let next = firstCount;
  return async () => {
    const measured = await run(next);
    next = Math.max(1_000, Math.round(measured.perSecond * seconds));
    return measured;
  };
}
