import type { LeasedConnection } from '../core/leases.ts';
import type { TenantPoolUsage } from '../core/model.ts';
import type { ConnectionResponse, StatsResponse } from '../generated/proto/connectionpool/connection_pool.ts';

// Failures are statuses; the fields `error` stay for clients that know them.

export function connectionMessage(connection: LeasedConnection): ConnectionResponse {
  const { id, host, port, database, username, password, schema, expiresAt, sslmode } = connection;
  return {
    connectionId: id,
    error: '',
    host,
    port: String(port),
    database,
    username,
    password,
    schema,
    expiresAt: expiresAt.toISOString(),
    sslmode,
  };
}

/** A lease is in use whether its holder is connected or not. */
export function statsMessage({ active, idle, leases }: TenantPoolUsage): StatsResponse {
  const activeConnections = leases + active;
  return {
    activeConnections,
    idleConnections: idle,
    totalConnections: activeConnections + idle,
    error: '',
  };
}
