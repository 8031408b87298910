import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { tenantNames } from '../../src/workers/tenant-names.ts';
import { editor } from '../core/core-app.ts';
import { startVersionCluster } from '../db/version-cluster.ts';
import { postgresVersions } from '../support/postgres-versions.ts';
import { settled } from '../workers/worker-app.ts';
import { hold, type PoolsBed, pidFor, pidOf, startPoolsBed } from './pools-bed.ts';

describe.each(postgresVersions)('$title', (version) => {
  describe.skipIf(!version.available)('connections into a tenant’s schema', () => {
    let parts: AsyncDisposableStack;
    let bed: PoolsBed;
    beforeAll(async () => {
      parts = new AsyncDisposableStack();
      const cluster = parts.use(await startVersionCluster(version));
      bed = parts.use(await startPoolsBed(parts.use(await cluster.emptyDatabase())));
    }, 60_000);
    afterAll(() => parts?.disposeAsync());

    test('are reset, make room, go on with a rotated password, and end with a suspension', async () => {
      const [a = '', b = ''] = await bed.createTenants(2);
      await using pools = bed.pools({ budget: 1 });
      const pid = await pools.withTenant(a, async (session) => {
        await session.query('BEGIN; SET LOCAL ROLE NONE; SET search_path TO public');
        return pidOf(session);
      });
      const schemas = await pools.withTenant(a, ({ query }) =>
        query('SELECT current_schemas(false)::text AS schemas, pg_backend_pid() AS pid'),
      );
      expect(schemas).toEqual([{ schemas: `{${tenantNames(a).schema}}`, pid }]);
      const ofB = await pidFor(pools, b);
      expect(await bed.sessions(a, b)).toEqual([ofB]);

      const held = await hold(pools, a);
      await bed.rotate(a);
      await expect(pidOf(held.session)).rejects.toThrow();
      await held.release();
      const renewed = await pidFor(pools, a);
      expect(await bed.sessions(a)).toEqual([renewed]);

      await bed.app.core.tenants.suspend(editor, a);
      await settled(bed.app, a);
      expect(await bed.sessions(a)).toEqual([]);
      await expect(pidFor(pools, a)).rejects.toMatchObject({ code: 'INVALID_STATE' });
    });
  });
});
