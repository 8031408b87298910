import type { TenantPoolUsage } from '../core/model.ts';
import type { Builder } from './builder.ts';

export function addTenantPool(builder: Builder) {
  return builder.objectRef<TenantPoolUsage>('TenantPool').implement({
    description: "Connections into a tenant's schema: of the process that answers, and leases of all.",
    fields: (t) => ({
      active: t.exposeInt('active', { description: 'In use.' }),
      idle: t.exposeInt('idle', { description: 'Open and free.' }),
      waiting: t.exposeInt('waiting', { description: 'Requests that wait for a connection.' }),
      max: t.exposeInt('max', {
        description:
          'As many as the tier allows: of leases, and, counted apart, of connections of one process.',
      }),
      leases: t.exposeInt('leases', { description: 'Logins that are lent, by any process.' }),
    }),
  });
}
