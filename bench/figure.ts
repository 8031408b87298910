import { median } from './statistics.ts';

/** One row of the table: the service beside a peer, or beside what the machine could do at all. */
export interface Figure {
  /** What the service does. */
  readonly what: string;
  /** What stands beside it. */
  readonly beside: string;
  readonly unit: string;
  /** Whether more of the unit is better. */
  readonly better: 'more' | 'less';
  /** The ratio that is asked for: at least when more is better, else at most. */
  readonly wanted: number;
  readonly rounds: readonly Pair[];
  /** Answers that were refused, limited, wrong or missing, all rounds together. */
  readonly errors: number;
  /** The most memory that a serving process had, MiB; null where there is none or it cannot be read. */
  readonly memory: { readonly ours: number | null; readonly peer: number | null };
  /** What a reader has to know beside; Markdown. */
  readonly note?: string;
}

/** Both in one round. */
export interface Pair {
  readonly ours: number;
  readonly peer: number;
}

export interface Verdict {
  readonly ours: number;
  readonly peer: number;
  /** Ours by the peer's, of the medians. */
  readonly ratio: number;
  /** The lowest and the highest ratio of a round. */
  readonly spread: readonly [number, number];
  readonly reached: boolean;
}

/** What the rounds of a figure come to. A figure with errors is not reached. */
export function judge({ rounds, better, wanted, errors }: Figure): Verdict {
  const ours = median(rounds.map((round) => round.ours));
  const peer = median(rounds.map((round) => round.peer));
  const ratios = rounds.map((round) => round.ours / round.peer);
  const ratio = ours / peer;
  const isEnough = better === 'more' ? ratio >= wanted : ratio <= wanted;
  return {
    ours,
    peer,
    ratio,
    spread: [Math.min(...ratios), Math.max(...ratios)],
    reached: isEnough && errors === 0,
  };
}
