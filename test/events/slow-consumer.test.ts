import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { editor } from '../core/core-app.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { asAdministrator } from '../support/database.ts';
import { redisMissing, startRedis, type TestRedis } from '../support/redis.ts';
import { channelOf, create, minute, range, sequencesOf } from './provisioning.ts';

// As another process would: events are written behind the tenant's last one, then told on the channel.
const writeSql = (tenantId: string, count: number) => `
WITH t AS (
  UPDATE operations SET last_sequence = last_sequence + ${count} WHERE tenant_id = '${tenantId}' RETURNING id, tenant_id, last_sequence - ${count} AS last
)
INSERT INTO provisioning_events
  (tenant_id, sequence, operation_id, kind, operation_state, step, status, completed_steps, total_steps, tenant_status)
SELECT t.tenant_id, t.last + n, t.id, 'PROVISION', 'RUNNING', 'create_role', 'IN_PROGRESS', 0, 5, 'PROVISIONING'
FROM t, generate_series(1, ${count}) AS n
RETURNING tenant_id AS "tenantId", operation_id AS "operationId", kind, operation_state AS "operationState", sequence, step, status,
  completed_steps AS "completedSteps", total_steps AS "totalSteps", message, tenant_status AS "tenantStatus", created_at AS "createdAt"`;

describe.skipIf(redisMissing !== null)('a consumer', () => {
  const stack = new AsyncDisposableStack();
  let redis: TestRedis;
  let app: TestApp;
  let channel: string;

  beforeAll(async () => {
    redis = stack.use(await startRedis());
    app = stack.use(
      await startTestApp({ worker: false, redisUrl: redis.url, timings: { rereadIntervalMs: minute } }),
    );
    channel = await channelOf(app);
  });
  afterAll(() => stack.disposeAsync());

  /** @returns when every process has been told */
  async function write(tenantId: string, count: number, tell = true): Promise<void> {
    const { rows } = await asAdministrator(app.administrator, writeSql(tenantId, count));
    if (!tell) return;
    const messages = rows.toSorted((a, b) => a.sequence - b.sequence).map((row) => JSON.stringify(row));
    const client = redis.client();
    await Promise.all(messages.map((message) => client.publish(channel, message)));
  }

  test('that takes nothing for thousands of events gets them all, once and in order', async () => {
    const id = await create(app, 'slow');
    const one = app.core.watch.one(id, 0);
    const many = await app.core.watch.many(null);
    const other = await create(app, 'other');
    expect((await one.next()).value).toMatchObject({ sequence: 1 });
    expect((await many.next()).value).toMatchObject({ tenantId: other, sequence: 1 });
    await write(id, 2_500);
    await app.core.tenants.remove(editor, id);

    const seen: unknown[] = [];
    for (const _ of range(1, 2_502)) seen.push((await one.next()).value);
    expect(sequencesOf(seen)).toEqual(range(2, 2_503));
    expect(seen.at(-1)).toMatchObject({ kind: 'DELETE', operationState: 'PENDING' });
    const fed: unknown[] = [];
    for (const _ of range(1, 2_502)) fed.push((await many.next()).value);
    expect(fed).toEqual(seen);
    await Promise.all([one.return?.(), many.return?.()]);
  });

  test('of a tenant that was quiet for long gets the next event, and what was lost before it', async () => {
    const id = await create(app, 'quiet');
    await write(id, 5);
    await asAdministrator(
      app.administrator,
      `ALTER TABLE provisioning_events DISABLE TRIGGER provisioning_events_keep;
       UPDATE provisioning_events SET created_at = created_at - interval '1 hour' WHERE tenant_id = '${id}';
       ALTER TABLE provisioning_events ENABLE TRIGGER provisioning_events_keep`,
    );
    const many = await app.core.watch.many([id]);
    await write(id, 1, false);
    await write(id, 2);
    const seen = [await many.next(), await many.next(), await many.next()].map(({ value }) => value);
    expect(sequencesOf(seen)).toEqual([7, 8, 9]);
    await many.return?.();
  });

  test('is not deceived by a message that is far ahead, nor by one that is long past', async () => {
    const id = await create(app, 'forged');
    await write(id, 3);
    const one = app.core.watch.one(id, 4);
    const many = await app.core.watch.many([id]);
    const next = [one.next(), many.next()];
    const client = redis.client();
    const { rows } = await asAdministrator(app.administrator, writeSql(id, 1));
    for (const sequence of [1_000_000, 3, 2_147_483_647]) {
      await client.publish(channel, JSON.stringify({ ...rows[0], sequence, message: 'forged' }));
    }
    await write(id, 1);
    const seen = [...(await Promise.all(next)), await one.next(), await many.next()];
    expect(seen.map(({ value }) => [value.sequence, value.message])).toEqual([
      [5, null],
      [5, null],
      [6, null],
      [6, null],
    ]);
    await Promise.all([one.return?.(), many.return?.()]);
  });
});
