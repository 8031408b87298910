import type { DatabaseSettings } from '../src/db/database-settings.ts';
import type { TenantFields } from './tenant-query.ts';

// What the programs of `foreign` are told. It is here because their packages need not be there when this is type-checked.

export interface MercuriusTask {
  readonly tenants: readonly TenantFields[];
}

export interface PostgraphileTask {
  readonly database: DatabaseSettings;
  /** In its pool. */
  readonly connections: number;
}
