import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startVersionCluster } from '../db/version-cluster.ts';
import { postgresVersions } from '../support/postgres-versions.ts';
import { type ProvisionedTenant, startTenantApp, type TenantApp } from '../support/tenant-app.ts';
import { expectNoLeak } from './leak-test.ts';

describe.each(postgresVersions)('$title', (version) => {
  describe.skipIf(!version.available)('two tenants', () => {
    let parts: AsyncDisposableStack;
    let app: TenantApp;
    let tenants: readonly [ProvisionedTenant, ProvisionedTenant];
    beforeAll(async () => {
      parts = new AsyncDisposableStack();
      const cluster = parts.use(await startVersionCluster(version));
      app = parts.use(await startTenantApp({ database: parts.use(await cluster.emptyDatabase()) }));
      tenants = [await app.provision(), await app.provision()];
    }, 60_000);
    afterAll(() => parts?.disposeAsync());

    const subjects = (user: (tenant: ProvisionedTenant) => string) => {
      const subject = (tenant: ProvisionedTenant) => ({
        names: tenant.names,
        user: user(tenant),
        login: () => app.login(tenant),
      });
      return [subject(tenants[0]), subject(tenants[1])] as const;
    };

    test('see nothing of each other', async () => {
      await expectNoLeak(subjects(({ names }) => names.app));
    });

    test('that would see something of each other are found out', async () => {
      const { schema } = tenants[0].names;
      await app.administer(
        `GRANT USAGE ON SCHEMA ${schema} TO PUBLIC; GRANT SELECT ON ${schema}.users TO PUBLIC`,
      );
      await expect(expectNoLeak(subjects(({ names }) => names.app))).rejects.toThrow();
    });
  });
});
