import { describe, expect, test } from 'vitest';
import { createTenant, httpGet, untilActive } from '../process/calls.ts';
import { createTestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import { createDirectory, databaseArguments, devToken, startService } from '../support/process.ts';
import { redisMissing, startRedis } from '../support/redis.ts';
import { connect } from '../workers/worker-app.ts';
import { expectSound } from './expect-sound.ts';

const tenants = 20;

describe(redisMissing ?? 'Redis is gone from the start of an API and a worker on', () => {
  test.skipIf(redisMissing !== null)(
    'tenants come up, and who watches sees every event once, in order',
    async () => {
      await using database = await createTestDatabase();
      await using redis = await startRedis();
      await using directory = await createDirectory();
      const dataDir = directory.path;
      const args = [`--redis-url=${redis.url}`, ...databaseArguments(database.settings)];
      await using api = await startService({ dataDir, args: [...args, '--role=api'] });
      await using worker = await startService({ dataDir, args: [...args, '--role=worker'] });
      await redis.goDown();
      for (const [{ httpUrl }, state] of [
        [api, 'off'],
        [worker, 'up'],
      ] as const) {
        await eventually(async () => {
          expect(await httpGet(`${httpUrl}/health`)).toEqual({
            status: 200,
            body: { status: 'degraded', checks: { database: 'up', redis: 'down', worker: state } },
          });
          return true;
        }, 20_000);
      }

      const caller = { url: api.httpUrl, token: await devToken(dataDir) };
      const ids = await Promise.all(
        Array.from({ length: tenants }, async (_, index) => {
          const id = await createTenant(caller, `tenant-${index}`);
          // Throws unless what it is told is 1, 2, 3 … to the tenant's being active.
          await untilActive(caller, id);
          return id;
        }),
      );
      await using administrator = await connect(database.administrator);
      await expectSound(administrator, new Map(ids.map((id) => [id, 'ACTIVE'])), 20_000);
      expect([api.stderr(), worker.stderr()]).toEqual(['', '']);
    },
  );
});
