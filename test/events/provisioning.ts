import { readdirSync } from 'node:fs';
import { operationSteps } from '../../src/core/operation-steps.ts';
import { dataOf, graphqlClient, type Stream } from '../http/graphql-client.ts';
import { actor } from '../support/actor.ts';
import type { TestApp } from '../support/app.ts';
import { asAdministrator } from '../support/database.ts';

/** Longer than any test: what comes before does not come by the timer. */
export const minute = 60_000;

const migrations = readdirSync(new URL('../../prisma/tenant', import.meta.url));

/** A provisioning that succeeds is accepted, each of its steps begins and is done, and each file is applied. */
export const eventsOfProvisioning = 1 + 2 * operationSteps.PROVISION.length + migrations.length;

/** `from`, `from + 1`, … `to`. */
export function range(from: number, to: number): number[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => from + index);
}

export const contactEmail = 'owner-of-everything@example.com';

/** Accepts a tenant. @returns its id */
export async function create({ core }: Pick<TestApp, 'core'>, subdomain: string): Promise<string> {
  const principal = actor('admin', 'test');
  const { tenant } = await core.tenants.create(principal, { name: subdomain, subdomain, contactEmail });
  return tenant.id;
}

const fields =
  'tenantId operationId kind operationState sequence step status completedSteps totalSteps message tenantStatus createdAt';

/** Opens `tenantProvisioning` over HTTP. */
export function openStream(app: TestApp, tenantId: string, after?: number): Promise<Stream> {
  return graphqlClient(app).stream(
    'viewer',
    `subscription ($id: ID!, $after: Int) { tenantProvisioning(tenantId: $id, after: $after) { ${fields} } }`,
    { id: tenantId, after },
  );
}

/** Opens `provisioningFeed` over HTTP. */
export function openFeed(app: TestApp, tenantIds?: readonly string[]): Promise<Stream> {
  return graphqlClient(app).stream(
    'viewer',
    `subscription ($ids: [ID!]) { provisioningFeed(tenantIds: $ids) { ${fields} } }`,
    { ids: tenantIds },
  );
}

/** The events of a stream until it completes. */
export async function eventsOf(stream: Stream): Promise<unknown[]> {
  using open = stream;
  return await dataOf(open, 'tenantProvisioning');
}

/** The events of a stream that is opened now. */
export async function watched(app: TestApp, tenantId: string, after?: number): Promise<unknown[]> {
  return eventsOf(await openStream(app, tenantId, after));
}

export function sequencesOf(events: readonly unknown[]): unknown[] {
  return events.map((event) => Reflect.get(Object(event), 'sequence'));
}

/** The channel of an app's registry. */
export async function channelOf({ administrator }: Pick<TestApp, 'administrator'>): Promise<string> {
  const { rows } = await asAdministrator(administrator, 'SELECT id FROM registry');
  return `tms:${rows[0]?.id}:events`;
}
