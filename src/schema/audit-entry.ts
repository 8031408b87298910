import { type AuditEntry, auditActions } from '../core/audit-entry.ts';
import { ForbiddenError } from '../core/errors.ts';
import { roleIncludes, transports } from '../core/model.ts';
import type { Builder } from './builder.ts';
import { encodeNodeId } from './node-id.ts';

/** Adds the enum of what the audit log has entries of. */
export function addAuditAction(builder: Builder) {
  return builder.enumType('AuditAction', { description: 'A kind of change.', values: auditActions });
}

/**
 * Adds an entry of the audit log, a node that is loaded by its number; and the enum of its transports.
 * @param action what {@link addAuditAction} answered
 */
export function addAuditEntry(builder: Builder, action: ReturnType<typeof addAuditAction>) {
  const transport = builder.enumType('AuditTransport', {
    description: 'How a call came in.',
    values: transports,
  });
  return builder.node(builder.objectRef<AuditEntry>('AuditEntry'), {
    description: 'Who changed something, or was refused to; never altered. Needs the role admin.',
    id: { resolve: ({ id }) => id },
    loadMany: async (ids: string[], { core, principal }) => {
      if (!roleIncludes(principal.role, 'admin')) {
        throw new ForbiddenError(`The role "${principal.role}" may not read the audit log; it needs admin.`);
      }
      const found = new Map((await core.audit.find(ids)).map((entry) => [entry.id, entry]));
      return ids.map((id) => found.get(id) ?? null);
    },
    fields: (t) => ({
      createdAt: t.expose('createdAt', { type: 'DateTime' }),
      subject: t.exposeString('subject', {
        description: "The token's, or `CN=` and the common name of the client's certificate.",
      }),
      role: t.exposeString('role', {
        description: 'As tokens and certificates write it: viewer, editor or admin.',
      }),
      transport: t.expose('transport', { type: transport }),
      address: t.exposeString('address', {
        nullable: true,
        description: "The other end of the caller's socket: of a proxy, where there is one.",
      }),
      action: t.expose('action', { type: action }),
      tenantId: t.exposeID('tenantId', {
        nullable: true,
        description: 'Null where none came to be, or none is known.',
      }),
      operationId: t.id({
        nullable: true,
        description: 'The operation that was started, or that it was about.',
        resolve: ({ operationId }) => operationId && encodeNodeId('Operation', operationId),
      }),
      leaseId: t.exposeID('leaseId', { nullable: true }),
      fields: t.exposeStringList('fields', {
        description: 'The names of the fields that an update changed.',
      }),
      result: t.exposeString('result', { description: 'OK, or the code of the error that refused it.' }),
    }),
  });
}
