import type { Builder } from '../schema/builder.ts';
import { auditConnection } from '../schema/connections.ts';
import type { Types } from '../schema/types.ts';

/** Adds the root field that pages through the audit log, for admins. */
export function addAuditQueries(builder: Builder, { auditEntry, auditFilter }: Types): void {
  builder.queryField('auditLog', (t) =>
    t.connection({
      type: auditEntry,
      description:
        'Who changed what, and who was refused; the newest first. A page has 20 unless `first` or `last` says otherwise, at most 100. Needs the role admin.',
      args: { filter: t.arg({ type: auditFilter }) },
      authScopes: { admin: true },
      resolve: (_root, { filter, ...page }, context) => auditConnection(page, filter ?? {}, context),
    }),
  );
}
