import type { KeyRing } from '../key-ring.ts';
import { givenEntries, type Input, isInput, type Place, RefusedQueryError } from './query-rules.ts';

/**
 * Turns a filter for equality of an address into the same filter on its blind index.
 * @throws RefusedQueryError for any filter that the index cannot answer.
 */
export function encryptedFilter(keyRing: KeyRing, filter: unknown, place: Place): string | Input {
  if (typeof filter === 'string') return keyRing.emailIndex(filter);
  const rewritten: Record<string, unknown> = {};
  for (const [key, value] of isInput(filter) ? givenEntries(filter) : []) {
    const here = `${place}.${key}`;
    if (key === 'equals' && typeof value === 'string') rewritten[key] = keyRing.emailIndex(value);
    else if (key === 'not') rewritten[key] = encryptedFilter(keyRing, value, here);
    else if ((key === 'in' || key === 'notIn') && isStrings(value))
      rewritten[key] = value.map(keyRing.emailIndex);
    else throw refused(here);
  }
  if (Object.keys(rewritten).length === 0) throw refused(place);
  return rewritten;
}

const isStrings = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');

const refused = (place: Place) =>
  new RefusedQueryError(
    place,
    'an encrypted field is found by equality only: write a string, equals, in, notIn or not',
  );
