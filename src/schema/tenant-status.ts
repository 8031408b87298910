import { tenantStatuses } from '../core/model.ts';
import type { Builder } from './builder.ts';

export function addTenantStatus(builder: Builder) {
  return builder.enumType('TenantStatus', {
    description: 'Where a tenant stands; deletion is told by `deletedAt` instead.',
    values: tenantStatuses,
  });
}
