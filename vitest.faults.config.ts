import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vitest/config';

/** The fault runs: minutes, not seconds, so `npm test` leaves them out. */
export default defineConfig({
  // As in vitest.config.ts: one copy of graphql.
  resolve: { alias: [{ find: /^graphql$/, replacement: fileURLToPath(import.meta.resolve('graphql')) }] },
  test: {
    include: ['test/faults/*.fault.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // Each runs several processes of its own.
    maxWorkers: 2,
    maxConcurrency: 3,
    testTimeout: 240_000,
    hookTimeout: 60_000,
    teardownTimeout: 30_000,
    reporters: ['default', ['json', { outputFile: 'coverage/faults.json' }]],
  },
});
