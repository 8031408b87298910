import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { inserted, type RegistryRows, tenantRow } from './registry-rows.ts';

let rows: RegistryRows;

beforeAll(async () => {
  rows = await inserted();
});
afterAll(() => rows[Symbol.asyncDispose]());

const longAgo = '2001-02-03T04:05:06.789Z';

/** A tenant at version 7 that changed long ago. */
async function oldTenant(): Promise<string> {
  return rows.insert('tenants', { ...tenantRow(), version: 7, created_at: longAgo, updated_at: longAgo });
}

async function update(id: string, assignment: string) {
  const [row] = await rows.query(
    `UPDATE tenants SET ${assignment} WHERE id = $1 RETURNING version, updated_at = now()::timestamptz(3) AS now, updated_at = '${longAgo}' AS old`,
    [id],
  );
  return row;
}

describe('a visible change raises the version by one and dates the row:', () => {
  test.each([
    `name = 'Another'`,
    `subdomain = 'another'`,
    `contact_email_index = repeat('j', 43)`,
    `tier = 'gold'`,
    `status = 'ACTIVE'`,
    `schema_version = 1`,
    `deleted_at = now()`,
    `name = 'Both', tier = 'both'`,
    `version = 8`,
    `name = 'Claimed', version = 1000`,
    `name = 'Claimed less', version = 1`,
    `name = 'Undated', updated_at = '1999-01-01'`,
  ])('%s', async (assignment) => {
    expect(await update(await oldTenant(), assignment)).toEqual({ version: 8, now: true, old: false });
  });

  test('the newest operation', async () => {
    const id = await oldTenant();
    const operation = { id: randomUUID(), tenant_id: id, kind: 'PROVISION' };
    await rows.insert('operations', operation);
    expect(await update(id, `operation_id = '${operation.id}'`)).toEqual({
      version: 8,
      now: true,
      old: false,
    });
  });
});

describe('what nobody sees does not:', () => {
  test.each([
    `contact_email = 'v1:other:' || repeat('m', 16) || ':' || repeat('d', 22)`,
    `name = name, tier = tier, status = status`,
    `version = 3`,
    `updated_at = now()`,
  ])('%s', async (assignment) => {
    expect(await update(await oldTenant(), assignment)).toEqual({ version: 7, now: false, old: true });
  });
});

test('a deletion has the time of the database, once', async () => {
  const id = await oldTenant();
  const change = async (assignment: string) => {
    const [row] = await rows.query(
      `UPDATE tenants SET ${assignment} WHERE id = $1 RETURNING version, deleted_at, now()::timestamptz(3) AS now`,
      [id],
    );
    return row;
  };
  const deleted = await change(`deleted_at = '${longAgo}'`);
  expect(deleted).toEqual({ version: 8, deleted_at: deleted?.now, now: deleted?.now });
  const again = await change(`deleted_at = '${longAgo}'`);
  expect(again).toMatchObject({ version: 8, deleted_at: deleted?.deleted_at });
  expect(await change('deleted_at = NULL')).toMatchObject({ version: 9, deleted_at: null });
});
