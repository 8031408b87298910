import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pg from 'pg';
import type { Operation, ProvisioningEvent, Tenant } from '../../src/core/model.ts';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import type { CoreApp } from '../core/core-app.ts';
import { eventually } from '../support/eventually.ts';

/** A busy machine runs several files at once. */
const deadlineMs = 60_000;

/** The tenant and its newest operation, when that is at its end. */
export function settled(
  { core, stored }: CoreApp,
  tenantId: string,
): Promise<{ tenant: Tenant; operation: Operation }> {
  return eventually(async () => {
    const { operationId } = await stored(tenantId);
    const operation = await core.operations.find(operationId ?? '');
    if (operation === null || ['PENDING', 'RUNNING'].includes(operation.state)) return null;
    return { tenant: await stored(tenantId), operation };
  }, deadlineMs);
}

/** Until the tenant's newest operation is in this state. */
export function inState(
  { core, stored }: CoreApp,
  tenantId: string,
  state: Operation['state'],
): Promise<Operation> {
  return eventually(async () => {
    const { operationId } = await stored(tenantId);
    const operation = await core.operations.find(operationId ?? '');
    return operation?.state === state && operation;
  }, deadlineMs);
}

/** The tenant's history, as far as a watcher would be told now. */
export async function eventsOf({ core }: CoreApp, tenantId: string): Promise<ProvisioningEvent[]> {
  const events: ProvisioningEvent[] = [];
  for await (const event of core.watch.one(tenantId, 0)) events.push(event);
  return events;
}

/** Whether the sequences are 1, 2, 3 … */
export function areGapless(events: readonly { readonly sequence: number }[]): boolean {
  return events.length > 0 && events.every(({ sequence }, index) => sequence === index + 1);
}

export function schemaOf(tenantId: string): string {
  return `tenant_${tenantId.replaceAll('-', '')}`;
}

export interface Session extends AsyncDisposable {
  query(sql: string, values?: readonly unknown[]): Promise<Record<string, unknown>[]>;
}

export async function connect(settings: DatabaseSettings): Promise<Session> {
  const client = new pg.Client(settings);
  client.on('error', () => {});
  await client.connect();
  return {
    query: async (sql, values = []) =>
      (values.length > 0 ? await client.query(sql, [...values]) : await client.query(sql)).rows,
    [Symbol.asyncDispose]: () => client.end(),
  };
}

export interface MigrationFiles extends AsyncDisposable {
  readonly directory: string;
  write(name: string, sql: string): Promise<void>;
}

/** A directory of tenant migrations. */
export async function migrationFiles(files: Readonly<Record<string, string>>): Promise<MigrationFiles> {
  const directory = await mkdtemp(join(tmpdir(), 'tms-tenant-migrations-'));
  const write = (name: string, sql: string) => writeFile(join(directory, name), sql);
  for (const [name, sql] of Object.entries(files)) await write(name, sql);
  return { directory, write, [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }) };
}
