import { readMs } from '../core/within-time.ts';

// All in milliseconds. Together they say for how long a tenant may be out of date: docs/cache.md.

/** How long a process remembers a tenant that changes without telling it: nobody tells it anything. */
export const untoldMs = 2_000;

/** How long a process remembers a tenant, if whoever changes it tells. */
export const toldMs = 30_000;

/** How long a process remembers that there is no such tenant. */
export const absentMs = 1_000;

/** How long Redis keeps a tenant. */
export const sharedMs = 120_000;

/** How long it is remembered that a tenant has changed: longer than somebody may still be reading what it was. */
export const changeMs = 3 * readMs;

/** A fifth of them earlier, so that what was remembered together is not forgotten together. */
export function jittered(ms: number): number {
  return Math.round(ms * (1 - Math.random() / 5));
}
