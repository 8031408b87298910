import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { migrationFiles, schemaOf, settled } from './worker-app.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database?.[Symbol.asyncDispose]());

async function created(app: CoreApp, count: number) {
  const all = await Promise.all(
    Array.from({ length: count }, () => app.core.tenants.create(editor, newTenant())),
  );
  return Promise.all(all.map(({ tenant }) => settled(app, tenant.id)));
}

describe('a migration that would end its transaction is refused by name, and has done nothing anywhere:', () => {
  test.each([
    ['in the middle', 'CREATE TABLE inside (); COMMIT; CREATE TABLE outside ();'],
    ['around it', 'BEGIN; CREATE TABLE inside (); COMMIT;'],
    ['and fail behind that', 'COMMIT; CREATE TABLE outside (); SELECT 1 / 0;'],
    ['to undo what the service did', 'ROLLBACK; CREATE TABLE outside ();'],
  ])('%s', async (_, sql) => {
    await using files = await migrationFiles({ '0001_x.sql': 'SELECT 1;', '0002_y.sql': sql });
    await using app = await startCore({ database, config: { tenantMigrations: files.directory } });
    const [end] = await created(app, 1);
    expect(end?.operation).toMatchObject({
      state: 'FAILED',
      attempt: 1,
      error: '0002_y.sql: BEGIN, COMMIT and ROLLBACK are the service’s, take them out',
    });
    const tables = `SELECT schemaname FROM pg_tables WHERE tablename IN ('inside', 'outside')`;
    expect(await app.sql(tables)).toEqual([]);
    const owner = schemaOf(end?.tenant.id ?? '');
    const members = `SELECT FROM pg_auth_members WHERE roleid = $1::regrole AND member = session_user::regrole`;
    expect(await app.sql(members, [owner])).toEqual([]);
  });
});

test('what a migration leaves on its connection is gone before the next tenant, and before any request', async () => {
  await using own = await createTestDatabase();
  await using files = await migrationFiles({
    '0001_leaves.sql': `
      CREATE TEMP TABLE scratch (id int);
      SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; SET statement_timeout = '7s'; SET lock_timeout = 0;
      SELECT pg_advisory_lock(4711);
      CREATE TABLE kept (id int); -- the last line has a comment $tag$`,
  });
  await using app = await startCore({ database: own, config: { tenantMigrations: files.directory } });
  const began = Date.now();
  const ends = await created(app, 8);
  expect(ends.map(({ operation }) => operation)).toEqual(
    ends.map(() => expect.objectContaining({ state: 'SUCCEEDED', attempt: 1 })),
  );
  for (const { tenant } of ends) {
    expect(tenant.createdAt.getTime()).toBeGreaterThan(began - 60_000);
    expect(await app.core.tenants.get(tenant.id)).toMatchObject({ createdAt: tenant.createdAt });
  }
  expect(await app.sql(`SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid = 4711`)).toEqual([]);
});
