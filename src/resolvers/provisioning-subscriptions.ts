import { z } from 'zod';
import { untilCancelled } from '../core/cancellation.ts';
import { roleIncludes } from '../core/model.ts';
import { sequenceNumber, uuid } from '../core/validation.ts';
import type { Builder } from '../schema/builder.ts';
import type { Types } from '../schema/types.ts';

const tenantIds = z.array(uuid).max(1_000, 'must be at most 1000 ids');

export function addProvisioningSubscriptions(builder: Builder, { provisioningEvent }: Types): void {
  builder.subscriptionFields((t) => ({
    tenantProvisioning: t.field({
      type: provisioningEvent,
      description:
        'One tenant: replays its events after `after`, then follows live; completes when the last event is out and no operation of the tenant is PENDING or RUNNING.',
      args: {
        tenantId: t.arg.id({ required: true, validate: uuid }),
        after: t.arg.int({ defaultValue: 0, validate: sequenceNumber }),
      },
      subscribe: async (_root, { tenantId, after }, { core, principal }) => {
        // Only admins see deleted tenants, so only they watch one.
        const deleted = roleIncludes(principal.role, 'admin') ? 'INCLUDE' : 'EXCLUDE';
        await untilCancelled(core.tenants.get(tenantId, deleted));
        return core.watch.one(tenantId, after ?? 0);
      },
      resolve: (event) => event,
    }),

    provisioningFeed: t.field({
      type: provisioningEvent,
      description:
        'Many tenants on one stream: live only, never completes; all tenants when `tenantIds` is absent. Unknown ids are no error, nothing comes of them.',
      args: { tenantIds: t.arg.idList({ validate: tenantIds }) },
      // Deleted tenants' events pass too: the deletion itself is progress that a dashboard shows, and an event holds
      // nothing of the tenant but its id and status.
      subscribe: (_root, { tenantIds }, { core }) => core.watch.many(tenantIds ?? null),
      resolve: (event) => event,
    }),
  }));
}
