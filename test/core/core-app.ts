import { randomUUID } from 'node:crypto';
import pg from 'pg';
import type { Core } from '../../src/core/core.ts';
import type { Tenant } from '../../src/core/model.ts';
import { createTenantLookup } from '../../src/db/find-tenant.ts';
import { actor } from '../support/actor.ts';
import { startTestApp, type TestApp, type TestAppOptions } from '../support/app.ts';
import { eventually } from '../support/eventually.ts';

export interface CoreApp extends AsyncDisposable {
  readonly app: TestApp;
  readonly core: Core;
  /** The tenant as it is, whatever the app remembers. */
  stored(id: string): Promise<Tenant>;
  /** Plain SQL as the service's role. */
  sql(query: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>;
}

/** The core of the real app, on a database of its own. */
export async function startCore(options: TestAppOptions = {}): Promise<CoreApp> {
  await using stack = new AsyncDisposableStack();
  const app = stack.use(await startTestApp(options));
  const pool = new pg.Pool({ ...app.database, max: 5 });
  pool.on('error', () => {});
  stack.defer(() => pool.end());
  const { find } = createTenantLookup(pool);
  const running = stack.move();
  return {
    app,
    core: app.core,
    async stored(id) {
      const tenant = await find(id);
      if (tenant === null) throw new Error(`there is no tenant ${id}`);
      return tenant;
    },
    sql: async (query, values = []) => (await pool.query(query, [...values])).rows,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

export const editor = actor('editor', 'an editor');

/** What a tenant is created from, different each time. */
export function newTenant() {
  const subdomain = `t-${randomUUID().slice(0, 13)}`;
  return { name: `Tenant ${subdomain}`, subdomain, contactEmail: `owner@${subdomain}.example` };
}

/** A tenant of an app without a worker, set to ACTIVE as if one had done it. */
export async function activeTenant({ core, sql }: CoreApp, input = newTenant()): Promise<string> {
  const { tenant, operation } = await core.tenants.create(editor, input);
  await sql(
    `UPDATE operations SET state = 'SUCCEEDED', started_at = now(), finished_at = now() WHERE id = $1`,
    [operation.id],
  );
  await sql(`UPDATE tenants SET status = 'ACTIVE' WHERE id = $1`, [tenant.id]);
  return tenant.id;
}

/** How many rows there are of everything that a create makes. */
export async function countAll({ sql }: CoreApp): Promise<unknown> {
  const tables = [
    'tenants',
    'operations',
    'operation_steps',
    'provisioning_events',
    'idempotency_keys',
    'graphile_worker.jobs',
    'audit_entries',
  ];
  const list = tables.map((table) => `(SELECT count(*)::int FROM ${table}) AS "${table}"`).join(', ');
  return (await sql(`SELECT ${list}`))[0];
}

/** Waits until as many statements of this database wait for a lock. */
export async function untilWaiting({ sql }: CoreApp, count: number): Promise<void> {
  await eventually(async () => {
    const waiting = await sql(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
    );
    return waiting.length >= count;
  }, 10_000);
}

/** How each of these ended: 'done' or the error's code; in alphabetical order. */
export async function outcomes(work: readonly Promise<unknown>[]): Promise<string[]> {
  const settled = await Promise.allSettled(work);
  return settled.map((result) => (result.status === 'fulfilled' ? 'done' : codeOf(result.reason))).sort();
}

function codeOf(error: unknown): string {
  const code = typeof error === 'object' && error !== null ? Reflect.get(error, 'code') : undefined;
  return typeof code === 'string' ? code : String(error);
}
