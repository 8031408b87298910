import { auditFilter } from '../core/validation.ts';
import type { addAuditAction } from './audit-entry.ts';
import type { Builder } from './builder.ts';

export function addAuditFilter(builder: Builder, action: ReturnType<typeof addAuditAction>) {
  return builder
    .inputType('AuditFilter', {
      description: 'What is given must all hold.',
      fields: (t) => ({
        tenantId: t.id(),
        subject: t.string(),
        action: t.field({ type: action }),
        result: t.string({ description: 'OK, or the code of an error.' }),
        from: t.field({ type: 'DateTime', description: 'From this moment on.' }),
        to: t.field({ type: 'DateTime', description: 'Before this moment.' }),
      }),
    })
    .validate(auditFilter);
}
