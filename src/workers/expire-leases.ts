import type { Logger } from 'pino';
import type { LeaseStore } from '../core/ports.ts';

/**
 * Ends the leases whose time is over, their sessions included, and sessions that outlived their lease; removes what has
 * ended. It goes by the lease's id, so it never ends one that was taken anew in the same slot.
 */
export async function expireLeases(
  leases: Pick<LeaseStore, 'expired' | 'end' | 'endStrays' | 'forget'>,
  log: Pick<Logger, 'info' | 'warn'>,
): Promise<void> {
  for (const leaseId of await leases.expired()) {
    try {
      if (await leases.end(leaseId)) log.info({ leaseId }, 'a lease expired and was ended');
    } catch (error) {
      // One whose session does not end must not keep the others.
      log.warn({ err: error, leaseId }, 'an expired lease could not be ended; that is repeated');
    }
  }
  await leases.forget();
  const strays = await leases.endStrays();
  if (strays > 0) log.info({ strays }, 'sessions that outlived their lease were ended');
}
