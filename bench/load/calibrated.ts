import type { Measured } from './measured.ts';

/** Requests of the run by which the first one is dimensioned. */
const probe = 1_000;

/** Runs of about so many seconds, of a load that is told a number of requests: by the rate of the run before. */
export function calibrated(
  seconds: number,
  run: (requests: number) => Promise<Measured>,
): () => Promise<Measured> {
  let before: Measured | null = null;
  return async () => {
    before ??= await run(probe);
    before = await run(Math.max(probe, Math.round(before.perSecond * seconds)));
    return before;
  };
}
