import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { openRegistry } from '../../src/db/open-registry.ts';
import { createOperationJournal } from '../../src/db/operation-journal.ts';
import { createPool } from '../../src/db/pool.ts';
import { withOwnSession } from '../../src/db/sql-session.ts';
import { createTenantCredentials } from '../../src/db/tenant-credentials.ts';
import { withTenantSession } from '../../src/pools/tenant-session.ts';
import { againIfDenied, roleAdminPrefix } from '../../src/workers/role-admin.ts';
import { createRoleAdmins } from '../../src/workers/role-admins.ts';
import { createStepContexts } from '../../src/workers/step-context.ts';
import { createStepRunner } from '../../src/workers/step-runner.ts';
import { readTenantMigrations } from '../../src/workers/tenant-migrations.ts';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { asAdministrator } from '../support/database.ts';
import { nobodyRemembers } from '../support/uncached.ts';
import { schemaOf } from './worker-app.ts';

const encryptionKeys = [{ id: 'key', key: randomBytes(32) }];

let app: CoreApp;
beforeAll(async () => {
  app = await startCore({ worker: false, config: { encryptionKeys } });
});
afterAll(() => app?.[Symbol.asyncDispose]());

/** Takes the right from the service to act as its administrators of roles, as newer ones would. */
async function retireAll(registryId: string): Promise<string[]> {
  const { rows } = await asAdministrator(
    app.app.administrator,
    `SELECT roleid::regrole::text AS role, member::regrole::text AS member, grantor::regrole::text AS grantor
     FROM pg_auth_members WHERE starts_with(roleid::regrole::text, '${roleAdminPrefix(registryId)}') AND set_option
       AND member = '${app.app.database.user}'::regrole`,
  );
  for (const { role, member, grantor } of rows)
    await asAdministrator(app.app.administrator, `REVOKE ${role} FROM ${member} GRANTED BY ${grantor}`);
  return rows.map(({ role }) => String(role));
}

test('a tenant comes up whose administrator the service may suddenly not act as any more', async () => {
  // Time stands still: what the worker remembers never grows old.
  vi.useFakeTimers({ toFake: ['performance'] });
  onTestFinished(() => void vi.useRealTimers());
  const { database } = app.app;
  const pool = createPool(database, { max: 10, name: 'steps', onError: () => {} });
  onTestFinished(() => pool.end());
  const journal = createOperationJournal({ pool, leaseMs: 60_000, cache: nobodyRemembers });
  const { registryId, keyRing } = await openRegistry(database, encryptionKeys);
  const migrations = await readTenantMigrations('prisma/tenant', []);
  const password = createTenantCredentials(keyRing);
  const runner = createStepRunner({
    journal,
    contexts: createStepContexts({
      registryId,
      roleAdmins: createRoleAdmins({ registryId, beside: () => {} }),
      migrations,
      password,
      login: (user, secret, work) => withTenantSession(database, user, secret, work),
    }),
    migrations,
    session: (work) => withOwnSession(pool, work),
    limitMs: 60_000,
  });

  async function provision(behindEachStep: () => Promise<unknown>): Promise<void> {
    const { tenant, operation } = await app.core.tenants.create(editor, newTenant());
    const taken = await journal.take(operation.id);
    if (taken === null) throw new Error('the operation was not to be had');
    const { toPerform, perform } = runner(taken);
    await journal.begin(taken, 0);
    const lost = new AbortController().signal;
    for (const [index, step] of toPerform.entries()) {
      await perform({ step, next: toPerform[index + 1]?.position ?? null, lost, tell: () => {} });
      await behindEachStep();
    }
    expect(await app.stored(tenant.id)).toMatchObject({ status: 'ACTIVE' });
    const stored = await password({ query: app.sql }, tenant.id);
    await withTenantSession(database, `${schemaOf(tenant.id)}_app`, stored, async () => {});
  }

  // The first administrator is made along with its tenant; for the next ones it is known to be there.
  await provision(async () => {});
  const retired: string[] = [];
  await provision(async () => retired.push(...(await retireAll(registryId))));
  expect(retired).toHaveLength(1);
  // The tenant took the right for itself, and nobody else has it.
  expect(await retireAll(registryId)).toEqual([]);
  // Between two tenants.
  await provision(async () => {});
  await provision(async () => {});
  expect(await retireAll(registryId)).toHaveLength(1);
  await provision(async () => {});
});

const denied = (role: string) =>
  Object.assign(new Error(`permission denied to set role "${role}"`), { code: '42501' });

test('nothing else is run a second time, and nothing a third time', async () => {
  const registryId = randomUUID();
  const own = denied(`${roleAdminPrefix(registryId)}00001`);
  const runs = async (error: Error) => {
    let count = 0;
    const work = async () => {
      count++;
      throw error;
    };
    await expect(againIfDenied(registryId, work)).rejects.toBe(error);
    return count;
  };
  expect(await runs(own)).toBe(2);
  expect(await runs(new Error('0001_workspace.sql: permission denied', { cause: own }))).toBe(2);
  expect(await runs(denied('postgres'))).toBe(1);
  expect(await runs(Object.assign(new Error(own.message), { code: '42704' }))).toBe(1);
});
