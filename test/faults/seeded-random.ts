export interface Random {
  /** A number from 0 on, below 1. */
  next(): number;
  /** One of them. @throws when there is none */
  pick<T>(choices: readonly T[]): T;
}

/** The same numbers for the same seed (mulberry32, by Tommy Ettinger, public domain). */
export function seededRandom(seed: number): Random {
  let state = seed;
  function next(): number {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
  return {
    next,
    pick(choices) {
      const [choice] = choices.slice(Math.floor(next() * choices.length));
      if (choice === undefined) throw new Error('there is nothing to choose from');
      return choice;
    },
  };
}
