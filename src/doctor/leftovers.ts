import { ownershipMark } from '../workers/tenant-names.ts';
import type { Finding } from './finding.ts';
import type { TenantObjects } from './tenant-facts.ts';

/**
 * What carries this registry's mark and belongs to no tenant that it knows: what is left when a registry was set back to
 * an older backup, for one. Roles alone may go, and PostgreSQL drops none that still has a right or an object anywhere;
 * a schema is data.
 * @param schema the name that all of it is under
 */
export function leftoversOf(schema: string, objects: TenantObjects, registryId: string): Finding[] {
  const ours = ownershipMark(registryId, tenantIdOf(schema));
  const roles = [...objects.roles.values()].filter(({ mark }) => mark === ours).map(({ name }) => name);
  const check = 'leftovers';
  if (objects.schema !== null) {
    if (objects.schema.mark !== ours) return [];
    const what = `the schema ${schema} belongs to no tenant`;
    return [{ check, what, remedy: 'it is data: drop it by hand, or restore the registry that knows it' }];
  }
  if (roles.length === 0) return [];
  const what = `${roles.join(', ')} ${roles.length === 1 ? 'belongs' : 'belong'} to no tenant`;
  return [{ check, what, remedy: { as: 'role admin', sql: `DROP ROLE ${roles.join(', ')}` } }];
}

/** The tenant that a schema's name is made of. */
export function tenantIdOf(schema: string): string {
  const [, ...parts] = /^tenant_(.{8})(.{4})(.{4})(.{4})(.{12})$/.exec(schema) ?? [];
  return parts.join('-');
}
