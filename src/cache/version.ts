/** Stands for the version of a change that is being committed: whatever is remembered is older. */
export const unknownVersion = Infinity;

/**
 * What is known of a tenant's newest version after one more change. One that is told takes the place of an unknown one,
 * also when it is an earlier change's: docs/cache.md says for how long that may be seen.
 */
export function newestVersion(known: number | undefined, told: number): number {
  return known === undefined || known === unknownVersion || told > known ? told : known;
}
