/**
 * The candidate that is the fewest edits away from a mistyped name; two neighbours that changed places are one edit
 * (optimal string alignment).
 * @returns undefined when none is within an edit for every three characters of the name, and within three
 */
export function nearest(name: string, candidates: Iterable<string>): string | undefined {
  if (name.length > 64) return undefined;
  let best: string | undefined;
  let fewest = Math.min(3, Math.floor(name.length / 3));
  for (const candidate of candidates) {
    const edits = distance(name, candidate);
    if (edits < fewest || (edits === fewest && best === undefined)) {
      best = candidate;
      fewest = edits;
    }
  }
  return best;
}

function distance(from: string, to: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const replaced = (previous[column - 1] ?? 0) + (from[row - 1] === to[column - 1] ? 0 : 1);
      const swapped =
        from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1]
          ? (beforePrevious[column - 2] ?? Infinity) + 1
          : Infinity;
      const [removed, inserted] = [(previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1];
      current.push(Math.min(replaced, swapped, removed, inserted));
    }
    [beforePrevious, previous] = [previous, current];
  }
  return previous[to.length] ?? 0;
}
