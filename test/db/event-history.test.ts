import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { UnavailableError } from '../../src/core/errors.ts';
import type { ProvisioningEvent } from '../../src/core/model.ts';
import type { EventHistory, EventPosition } from '../../src/core/ports.ts';
import { readMs } from '../../src/core/within-time.ts';
import { createEventHistory } from '../../src/db/event-history.ts';
import { createPool } from '../../src/db/pool.ts';
import { create } from '../events/provisioning.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { asAdministrator } from '../support/database.ts';

const stack = new AsyncDisposableStack();
let app: TestApp;
let history: EventHistory;
let ids: string[];

// Three tenants with eight events each; many bear the same time, to the millisecond.
beforeAll(async () => {
  app = stack.use(await startTestApp({ worker: false }));
  const pool = createPool(app.database, { max: 5, name: 'test', onError: () => {} });
  stack.defer(() => pool.end());
  history = createEventHistory(pool);
  ids = await Promise.all(['one', 'two', 'three'].map((name) => create(app, name)));
  await asAdministrator(
    app.administrator,
    `INSERT INTO provisioning_events
       (tenant_id, sequence, operation_id, kind, operation_state, step, status, completed_steps, total_steps, tenant_status, created_at)
     SELECT id, n, operation_id, 'PROVISION', 'RUNNING', 'create_role', 'IN_PROGRESS', 0, 5, 'PROVISIONING', '2040-01-01Z'::timestamptz + (n / 3) * interval '1 ms'
     FROM tenants, generate_series(2, 8) AS n`,
  );
});
afterAll(() => stack.disposeAsync());

const start: EventPosition = {
  createdAt: new Date(0),
  tenantId: '00000000-0000-0000-0000-000000000000',
  sequence: 0,
};
const place = ({ tenantId, sequence }: ProvisioningEvent) => `${tenantId}:${sequence}`;

async function pages(limit: number, tenantIds: readonly string[] | null): Promise<ProvisioningEvent[]> {
  const found: ProvisioningEvent[] = [];
  for (let from = start; ; ) {
    const page = await history.since(from, tenantIds, limit);
    expect(page.length).toBeLessThanOrEqual(limit);
    found.push(...page);
    const last = page.at(-1);
    if (last === undefined) return found;
    from = last;
  }
}

test('the events of all tenants come page by page, none twice, each tenant in order', async () => {
  const whole = await history.since(start, null, 1_000);
  expect(whole).toHaveLength(24);
  for (const id of ids) {
    expect(whole.filter(({ tenantId }) => tenantId === id).map(({ sequence }) => sequence)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8,
    ]);
  }
  for (const limit of [1, 2, 5, 7, 24]) expect(await pages(limit, null)).toEqual(whole);
});

test('those of some tenants are theirs alone', async () => {
  const whole = await history.since(start, null, 1_000);
  const [first = '', , third = ''] = ids;
  expect(await pages(4, [third, randomUUID(), first])).toEqual(
    whole.filter(({ tenantId }) => tenantId !== ids[1]),
  );
  expect(await pages(4, [])).toEqual([]);
});

test('those of one tenant come behind a sequence, with word of unfinished work even when there are none', async () => {
  const [id = ''] = ids;
  const { events, unfinished } = await history.after(id, 3, 2);
  expect([events.map(place), unfinished]).toEqual([[`${id}:4`, `${id}:5`], true]);
  expect(await history.after(id, 8, 10)).toEqual({ events: [], unfinished: true });
  expect(await history.after(id, 2_147_483_647, 10)).toEqual({ events: [], unfinished: true });
  expect(await history.after(randomUUID(), 0, 10)).toEqual({ events: [], unfinished: false });
  await asAdministrator(
    app.administrator,
    `UPDATE operations SET state = 'CANCELLED', finished_at = now() WHERE tenant_id = '${id}'`,
  );
  expect(await history.after(id, 8, 10)).toEqual({ events: [], unfinished: false });
});

test('an event reads as it was published', async () => {
  const [id = ''] = ids;
  const { events } = await history.after(id, 0, 1);
  expect(events).toEqual([
    {
      tenantId: id,
      operationId: expect.any(String),
      kind: 'PROVISION',
      operationState: 'PENDING',
      sequence: 1,
      step: 'create_role',
      status: 'PENDING',
      completedSteps: 0,
      totalSteps: 5,
      message: null,
      tenantStatus: 'PROVISIONING',
      createdAt: expect.any(Date),
    },
  ]);
});

test('the clock is the database’s', async () => {
  const { rows } = await asAdministrator(app.administrator, 'SELECT clock_timestamp() AS now');
  const now = await history.clock();
  expect(now.getTime()).toBeGreaterThanOrEqual(rows[0]?.now.getTime());
  expect(now.getTime() - rows[0]?.now.getTime()).toBeLessThan(20_000);
});

test('reads that are stuck end after a time, and make room for others', async () => {
  const holder = new pg.Client(app.administrator);
  await holder.connect();
  await holder.query('BEGIN; LOCK TABLE provisioning_events');
  const waiting = async () => {
    const { rowCount } = await asAdministrator(
      app.administrator,
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    return rowCount;
  };
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const stuck = Promise.allSettled([1, 2, 3, 4].map(() => history.since(start, null, 1)));
    await vi.waitFor(async () => expect(await waiting()).toBe(4), 5_000);
    const behind = history.clock();
    await vi.advanceTimersByTimeAsync(readMs);
    expect(await stuck).toEqual(Array(4).fill({ status: 'rejected', reason: new UnavailableError() }));
    expect(await behind).toBeInstanceOf(Date);
    await vi.waitFor(async () => expect(await waiting()).toBe(0), 5_000);
  } finally {
    vi.useRealTimers();
    await holder.end();
  }
  // A database that answers would end them by itself, after 15 s.
}, 10_000);
