import { deletedFilters } from '../core/model.ts';
import type { Builder } from './builder.ts';

export function addDeletedFilter(builder: Builder) {
  return builder.enumType('DeletedFilter', {
    description: 'Which tenants are seen: live ones, all, or deleted ones alone.',
    values: deletedFilters,
  });
}
