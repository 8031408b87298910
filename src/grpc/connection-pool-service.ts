import type { Core } from '../core/core.ts';
import type {
  ConnectionPoolServiceService,
  ConnectionRelease,
  ConnectionRequest,
  ConnectionResponse,
  ReleaseResponse,
  StatsRequest,
  StatsResponse,
} from '../generated/proto/connectionpool/connection_pool.ts';
import type { CallContext, Calls } from './calls.ts';
import { connectionMessage, statsMessage } from './connection-pool-messages.ts';

/** The handlers of `connectionpool.ConnectionPoolService`, for grpc-js. */
export function createConnectionPoolService({ leases }: Core, { unary }: Calls) {
  async function getConnection(
    { tenantId, dsn }: ConnectionRequest,
    { actor }: CallContext,
  ): Promise<ConnectionResponse> {
    return connectionMessage(await leases.take(actor, { tenantId, dsn }));
  }

  async function releaseConnection(
    { connectionId }: ConnectionRelease,
    { actor }: CallContext,
  ): Promise<ReleaseResponse> {
    await leases.release(actor, connectionId);
    return { success: true, error: '' };
  }

  async function getPoolStats({ tenantId }: StatsRequest): Promise<StatsResponse> {
    return statsMessage(await leases.statistics(tenantId));
  }

  return {
    getConnection: unary(getConnection),
    releaseConnection: unary(releaseConnection),
    getPoolStats: unary(getPoolStats),
  } satisfies Record<keyof ConnectionPoolServiceService, unknown>;
}
