import { tenantOrderFields } from '../core/cursor.ts';
import type { Builder } from './builder.ts';

/** The order of a list of tenants; ties are broken by id. */
export function addTenantOrder(builder: Builder) {
  const field = builder.enumType('TenantOrderField', { values: tenantOrderFields });
  const direction = builder.enumType('OrderDirection', { values: ['ASC', 'DESC'] });
  return builder.inputType('TenantOrder', {
    fields: (t) => ({
      field: t.field({ type: field, required: true }),
      direction: t.field({ type: direction, required: true, defaultValue: 'ASC' }),
    }),
  });
}
