import { randomBytes } from 'node:crypto';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import type { KeyRing } from '../../src/db/key-ring.ts';
import { openRegistry } from '../../src/db/open-registry.ts';
import { createTenantCredentials } from '../../src/db/tenant-credentials.ts';
import { type TenantNames, tenantNames } from '../../src/workers/tenant-names.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { connect, type Session, settled } from '../workers/worker-app.ts';
import type { TestAppOptions } from './app.ts';
import { asAdministrator } from './database.ts';

export interface ProvisionedTenant {
  readonly id: string;
  readonly names: TenantNames;
  /** Of its `…_app` role. */
  readonly password: string;
}

/** The real app, with what the tests of tenants' logins need. */
export interface TenantApp extends CoreApp {
  readonly registryId: string;
  readonly keyRing: KeyRing;
  /** Creates a tenant and waits until it is up. */
  provision(): Promise<ProvisionedTenant>;
  /** Logs in as the tenant's `…_app` role; elsewhere, or otherwise, as `over` says. */
  login(tenant: ProvisionedTenant, over?: Partial<DatabaseSettings>): Promise<Session>;
  /** Runs statements as the superuser, on the same database. */
  administer(sql: string): Promise<Record<string, unknown>[]>;
}

/** Starts it on a database of its own. */
export async function startTenantApp(options: TestAppOptions = {}): Promise<TenantApp> {
  const encryptionKeys = [{ id: 'key', key: randomBytes(32) }];
  const app = await startCore({ ...options, config: { encryptionKeys, ...options.config } });
  const { registryId, keyRing } = await openRegistry(app.app.database, encryptionKeys);
  const passwordOf = createTenantCredentials(keyRing);
  return {
    ...app,
    registryId,
    keyRing,
    async provision() {
      const { id } = (await app.core.tenants.create(editor, newTenant())).tenant;
      const { operation } = await settled(app, id);
      if (operation.state !== 'SUCCEEDED') throw new Error(`the tenant did not come up: ${operation.error}`);
      return { id, names: tenantNames(id), password: await passwordOf({ query: app.sql }, id) };
    },
    login: ({ names, password }, over) =>
      connect({ ...app.app.database, user: names.app, password, ...over }),
    administer: async (sql) => (await asAdministrator(app.app.administrator, sql)).rows ?? [],
  };
}
