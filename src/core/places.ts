/** Places of which each key may hold so many at once. */
export interface Places {
  /** Takes one. @returns what gives it back, which may be called twice; null when the key holds as many as it may */
  take(key: string): (() => void) | null;
}

/** Counts how many places each key holds, `max` at most. */
export function createPlaces(max: number): Places {
  const taken = new Map<string, number>();
  return {
    take(key) {
      const held = taken.get(key) ?? 0;
      if (held >= max) return null;
      taken.set(key, held + 1);
      let given = false;
      return () => {
        if (given) return;
        given = true;
        const left = (taken.get(key) ?? 1) - 1;
        if (left === 0) taken.delete(key);
        else taken.set(key, left);
      };
    },
  };
}
