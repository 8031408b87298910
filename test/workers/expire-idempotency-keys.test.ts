import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { editor, newTenant, startCore } from '../core/core-app.ts';
import { eventually } from '../support/eventually.ts';

test('the periodic task forgets the idempotency keys whose time is over, and no others', async () => {
  await using app = await startCore();
  const [old, young] = [randomUUID(), randomUUID()];
  for (const idempotencyKey of [old, young])
    await app.core.tenants.create(editor, { ...newTenant(), idempotencyKey });
  await app.sql(
    `UPDATE idempotency_keys SET created_at = now() - interval '25 hours', expires_at = now() - interval '1 hour' WHERE key = $1`,
    [old],
  );
  await app.sql(`SELECT graphile_worker.add_job('expire_idempotency_keys')`);
  await eventually(async () => {
    expect(await app.sql('SELECT key FROM idempotency_keys')).toEqual([{ key: young }]);
    return true;
  }, 20_000);
});
