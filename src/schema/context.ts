import type { PrismaClient } from '@pothos/plugin-prisma';
import type { Core } from '../core/core.ts';
import type { Actor, Caller } from '../core/model.ts';

/** What every resolver of one request is given. */
export interface GraphqlContext {
  readonly core: Core;
  /** Who asks, and from where; there is always somebody, since a request without a good token is refused before it is parsed. */
  readonly principal: Actor & Caller;
  /**
   * Loads the relations of rows that are already shown. It does not hide deleted tenants: which rows may be shown is
   * decided before, and an operation shows its tenant also when that is deleted.
   */
  readonly prismaIncludingDeleted: PrismaClient;
}
