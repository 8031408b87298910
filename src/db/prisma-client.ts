import { PrismaPg } from '@prisma/adapter-pg';
import type { ITXClientDenyList } from '@prisma/client/runtime/client';
import type pg from 'pg';
import { Prisma, PrismaClient } from '../generated/prisma/client.ts';
import { reachingDatabase } from './errors.ts';
import type { KeyRing } from './key-ring.ts';
import { fieldEncryption } from './middleware/field-encryption.ts';
import { softDelete } from './middleware/soft-delete.ts';

/**
 * The Prisma clients of the registry, with what Prisma used to call middleware. The pool stays the caller's, who ends
 * it after `$disconnect`.
 */
export function createRegistryClients(pool: pg.Pool, keyRing: KeyRing) {
  const base = new PrismaClient({ adapter: new PrismaPg(pool) }).$extends(unavailability);
  return {
    /** Soft delete and encryption. */
    client: base
      // The first extension sees a query first. Soft delete decides whether it may run at all, and turns a
      // delete into an update, before encryption works on what is left.
      .$extends(softDelete({ visibleThrough: ['Operation.tenant'] }))
      .$extends(fieldEncryption(keyRing)),
    /** Encryption alone: for the relations of rows that were found by somebody who has decided what to show. */
    includingDeleted: base.$extends(fieldEncryption(keyRing)),
  };
}

/** Says `UnavailableError` where the database cannot be reached, whoever asks. */
const unavailability = Prisma.defineExtension({
  name: 'unavailability',
  query: { $allOperations: ({ args, query }) => reachingDatabase(() => query(args)) },
});

export type RegistryClient = ReturnType<typeof createRegistryClients>['client'];

/** The client inside an interactive transaction. A {@link RegistryClient} may stand where this is asked for. */
export type RegistryTransactionClient = Omit<RegistryClient, ITXClientDenyList | '$transaction'>;
