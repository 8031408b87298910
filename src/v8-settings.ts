import { setFlagsFromString } from 'node:v8';

/**
 * Lets V8 allocate all new objects among the young ones. It would guess by the place in the code which objects live long,
 * and guesses wrong of those of a call: one in the old generation holds everything that its call was made of until that is
 * collected, which made a collection of the young generation twenty times as long (docs/performance.md).
 */
export function settleV8(): void {
  setFlagsFromString('--no-allocation-site-pretenuring');
}
