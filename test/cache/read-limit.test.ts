import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { createTenantCache } from '../../src/cache/tenant-cache.ts';
import { currentSignal } from '../../src/core/cancellation.ts';
import { UnavailableError } from '../../src/core/errors.ts';
import { readMs } from '../../src/core/within-time.ts';
import { createLog } from '../../src/log.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

/** Answers nothing until its statement is ended. */
function hang(): Promise<never> {
  return new Promise((_resolve, reject) => {
    currentSignal()?.addEventListener('abort', () => reject(new Error('ended')));
  });
}

const cache = createTenantCache({
  registry: { find: hang, findBySubdomain: hang },
  shared: null,
  relay: null,
  onAnswer: () => {},
  log: createLog('silent', { write: () => {} }),
});

test.each([
  ['an id', () => cache.find(randomUUID())],
  ['a subdomain', () => cache.findBySubdomain('somebody')],
])('a look-up of %s that PostgreSQL does not answer is ended in time', async (_, look) => {
  const failed = expect(look()).rejects.toThrow(UnavailableError);
  await vi.advanceTimersByTimeAsync(readMs);
  await failed;
});
