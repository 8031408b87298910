import { readFile } from 'node:fs/promises';
import { logVerbosity, Server, type ServerCredentials, setLogVerbosity } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Allowance } from '../core/allowance.ts';
import type { Authenticate, Core } from '../core/core.ts';
import { ConnectionPoolServiceService } from '../generated/proto/connectionpool/connection_pool.ts';
import { HealthService } from '../generated/proto/grpc/health/v1/health.ts';
import type { Certificates } from '../tls/certificates.ts';
import { createCalls } from './calls.ts';
import { createConnectionPoolService } from './connection-pool-service.ts';
import { serverCredentials } from './credentials.ts';
import { createDescriptorIndex } from './descriptor-index.ts';
import { createHealthService, createServing } from './health-service.ts';
import { letGo } from './let-go.ts';
import { createCallMetrics } from './metrics.ts';
import { createReflectionService, reflectionServices } from './reflection-service.ts';
import { tolerant } from './requests.ts';
import { refuseSlowRequests } from './slow-requests.ts';
import { createTenantService, tenantService } from './tenant-service.ts';

export interface GrpcServerOptions {
  readonly core: Core;
  readonly authenticate: Authenticate;
  readonly allowance: Allowance;
  /** How long a unary call may take, milliseconds. */
  readonly requestLimitMs: number;
  readonly host: string;
  /** 0 is any free one. */
  readonly port: number;
  /** Null: plain text. */
  readonly tls: Certificates | null;
  /** Whether clients may ask for the protos. */
  readonly reflection: boolean;
  /** After how many milliseconds, give or take a tenth, a connection takes no more calls. */
  readonly connectionAgeMs?: number;
  /** Where `grpc_server_*` are registered. */
  readonly metrics: Registry;
  readonly log: Pick<Logger, 'error'>;
}

export interface GrpcServer extends AsyncDisposable {
  readonly port: number;
  /** What health checks answer; not serving at first. */
  setServing(serving: boolean): void;
  /**
   * Accepts nothing new, ends the streams with UNAVAILABLE and lets the other calls finish, for `deadlineMs` at most;
   * then it cuts them off.
   */
  drain(deadlineMs: number): Promise<void>;
}

const options = {
  // The largest request that makes sense is under 4 KiB. Metadata are bounded by Node: 64 KiB, 128 entries.
  'grpc.max_receive_message_length': 64 * 1024,
  // What clients accept unless told otherwise.
  'grpc.max_send_message_length': 4 * 1024 * 1024,
  // A client that vanished without a word is noticed within 80 s; its streams end, and what they hold.
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
  // Per connection; a watch holds one as long as it runs.
  'grpc.max_concurrent_streams': 1_000,
  // What waits to be sent to one client that does not read, and all headers of its calls, MiB.
  'grpc-node.max_session_memory': 64,
  // Statistics that nobody reads, at a price per call.
  'grpc.enable_channelz': 0,
};

/** How long a request may take to come, milliseconds: as HTTP's headers. */
const requestArrivalMs = 10_000;

/**
 * A client then opens another connection: to a replica that is new, and with a certificate that is looked at again. What
 * runs on the old one may end by itself, streams too, so nobody notices (docs/decisions/0018).
 */
const usualConnectionAgeMs = 30 * 60_000;

/**
 * Serves the gRPC face of `core`.
 * @throws {Error} when the address cannot be listened on; the message is one line
 */
export async function createGrpcServer({
  core,
  authenticate,
  allowance,
  requestLimitMs,
  host,
  port: wantedPort,
  tls,
  reflection,
  connectionAgeMs = usualConnectionAgeMs,
  metrics,
  log,
}: GrpcServerOptions): Promise<GrpcServer> {
  const services = ['tenant.v1.TenantService', 'connectionpool.ConnectionPoolService'];
  const draining = new AbortController();
  const serving = createServing();
  const calls = createCalls({
    authenticate,
    audit: core.audit,
    allowance,
    requestLimitMs,
    metrics: createCallMetrics(metrics),
    log,
    draining: draining.signal,
  });

  // grpc-js writes to the console what callers sent, and says there once more what it throws.
  setLogVerbosity(logVerbosity.NONE);
  const server = new Server({
    ...options,
    'grpc.max_connection_age_ms': connectionAgeMs,
    interceptors: [refuseSlowRequests(requestArrivalMs), letGo],
  });
  server.addService(tolerant(tenantService), createTenantService(core, calls));
  server.addService(tolerant(ConnectionPoolServiceService), createConnectionPoolService(core, calls));
  server.addService(tolerant(HealthService), createHealthService(serving, services, calls));
  if (reflection) {
    const descriptors = await readFile(new URL('../generated/descriptors.binpb', import.meta.url));
    const named = [...services, 'grpc.health.v1.Health', 'grpc.reflection.v1.ServerReflection'];
    const service = createReflectionService(createDescriptorIndex(descriptors), named);
    for (const definition of reflectionServices) server.addService(tolerant(definition), service);
  }

  const authority = host.includes(':') ? `[${host}]` : host;
  const port = await listen(server, `${authority}:${wantedPort}`, serverCredentials(tls));

  let drained: Promise<void> | null = null;
  const drain = (deadlineMs: number) => {
    drained ??= new Promise((resolve) => {
      serving.set(false);
      draining.abort();
      // First this, since only it destroys what is open at the deadline; it keeps no process alive.
      server.drain(`${authority}:${port}`, deadlineMs);
      server.tryShutdown(() => resolve());
    });
    return drained;
  };

  return {
    port,
    setServing: serving.set,
    drain,
    [Symbol.asyncDispose]: () => drain(0),
  };
}

function listen(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (error === null) resolve(port);
      else reject(new Error(`gRPC cannot listen on ${address} (--host, --port): ${error.message}`));
    });
  });
}
