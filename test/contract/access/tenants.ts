import { randomUUID } from 'node:crypto';
import { actor } from '../../support/actor.ts';
import type { TestApp } from '../../support/app.ts';
import { asAdministrator } from '../../support/database.ts';

const tester = actor('admin', 'test');

/** A tenant with its newest operation; that one's id is as GraphQL writes it. */
export interface KnownTenant {
  readonly id: string;
  readonly subdomain: string;
  readonly operation: string;
}

export type Kind = 'pending' | 'active' | 'inactive' | 'failed' | 'deleted';

/** Makes a tenant; nobody works here, so its operation is brought to its end by hand. */
export async function tenantThatIs(app: TestApp, kind: Kind): Promise<KnownTenant> {
  const subdomain = `t-${randomUUID()}`;
  const input = { name: 'Known', subdomain, contactEmail: 'owner@example.com' };
  const { tenant, operation } = await app.core.tenants.create(tester, input);
  const settle = (assignments: string) =>
    asAdministrator(
      app.administrator,
      `UPDATE operations SET ${assignments}, finished_at = now() WHERE tenant_id = '${tenant.id}' AND finished_at IS NULL`,
    );
  if (kind === 'failed') await settle("state = 'FAILED', error = 'no'");
  if (kind === 'active' || kind === 'inactive' || kind === 'deleted') {
    await settle("state = 'SUCCEEDED'");
    const status = kind === 'inactive' ? 'INACTIVE' : 'ACTIVE';
    await asAdministrator(
      app.administrator,
      `UPDATE tenants SET status = '${status}' WHERE id = '${tenant.id}'`,
    );
  }
  if (kind === 'deleted') {
    await app.core.tenants.remove(tester, tenant.id);
    await settle("state = 'SUCCEEDED'");
  }
  return { id: tenant.id, subdomain, operation: `operation_${operation.id}` };
}
