import { createAllowance } from '../../src/core/allowance.ts';

/** For servers that are built without the app: everybody may ask for as much as they like. */
export function unlimited() {
  return createAllowance({ rateLimit: { take: async () => 0 }, objectsPerSecond: 0 });
}
