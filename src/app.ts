import type { Logger } from 'pino';
import { atMost } from './at-most.ts';
import { createTenantCache } from './cache/tenant-cache.ts';
import { isLoopback, isLoopbackName } from './config/hosts.ts';
import { slotRestMs } from './config/pooler.ts';
import { connectionsFor } from './config/tier-connections.ts';
import { watchCertificates } from './config/watch-certificates.ts';
import type { Config } from './config.ts';
import { createAllowance } from './core/allowance.ts';
import { createAudit } from './core/audit.ts';
import type { Core } from './core/core.ts';
import { createLeases } from './core/leases.ts';
import { createOperations } from './core/operations.ts';
import { createTenants } from './core/tenants.ts';
import { createRules } from './core/validation.ts';
import { createWatch } from './core/watch.ts';
import { createAuditStore } from './db/audit-store.ts';
import { sslmodeOf } from './db/database-settings.ts';
import { endBackendsOf } from './db/end-backends.ts';
import { reachingDatabase } from './db/errors.ts';
import { createEventHistory } from './db/event-history.ts';
import { readJobStatistics } from './db/job-statistics.ts';
import { countLeases, createLeaseStore } from './db/lease-store.ts';
import { openRegistry } from './db/open-registry.ts';
import { createPool, poolUsage, serviceConnections } from './db/pool.ts';
import { createPoolSessions } from './db/pool-sessions.ts';
import { createRegistryClients } from './db/prisma-client.ts';
import { createRegistry } from './db/registry.ts';
import { createTenantAccounts } from './db/tenant-accounts.ts';
import type { Feed } from './events/feed.ts';
import { createLocalFeed } from './events/local-feed.ts';
import { createRedisFeed } from './events/redis-feed.ts';
import { createRelayedFeed } from './events/relayed-feed.ts';
import { createGrpcServer, type GrpcServer } from './grpc/server.ts';
import { createAuthenticate } from './http/authentication.ts';
import { createGraphqlHandler } from './http/graphql.ts';
import { createMetrics } from './http/metrics.ts';
import { rememberCallers } from './http/remembered-callers.ts';
import { createHttpServer } from './http/server.ts';
import { createRateLimit } from './limits/rate-limit.ts';
import { connectSharedCount } from './limits/shared-count.ts';
import { authentication, encryptionKeys, warnOfGeneratedKey } from './local-secrets.ts';
import { startOperationWorker } from './operation-worker.ts';
import { createTenantPools, type TenantPools } from './pools/tenant-pools.ts';
import type { Siblings } from './processes/siblings.ts';
import { createSchema } from './resolvers/schema.ts';
import { createObjectCounter } from './schema/complexity.ts';
import { serviceDatabase } from './service-database.ts';
import { type Timings, usualTimings } from './timings.ts';
import { createLeaseRoles } from './workers/lease-roles.ts';
import { tenantNames } from './workers/tenant-names.ts';

/** How long a part may take to come down that was not done when the drain was over, milliseconds. */
const abandonMs = 2_000;

/** Connections to the registry's database: enough for the requests of one process and its worker's steps. */
const requestConnections = 10;

/** Connections into tenants' schemas, of all tenants together; beside those to the registry. */
const tenantConnections = 50;

export interface App extends AsyncDisposable {
  readonly core: Core;
  readonly tenantPools: Pick<TenantPools, 'withTenant' | 'usage' | 'totals'>;
  readonly httpPort: number;
  /** Null with `--role worker`. */
  readonly grpcPort: number | null;
  /** Where the admin token of a start without authentication settings is. */
  readonly devTokenFile: string | null;
}

/**
 * Builds the whole machine. Disposing it drains it: accept nothing more, finish what is in flight, then take the parts
 * down in the reverse order.
 * @param siblings null: no other process serves on the same ports
 * @throws when it cannot start as it is asked to, with a line that says why; nothing is left running then
 */
export async function createApp(
  config: Config,
  log: Logger,
  timings: Timings = usualTimings,
  siblings: Siblings | null = null,
): Promise<App> {
  await using parts = new AsyncDisposableStack();
  const { role } = config;
  const settings = await serviceDatabase(config, parts, log);
  const { mode, devTokenFile } = await authentication(config);

  const connections = requestConnections + 2 * config.workerConcurrency;
  const pool = createPool(settings, {
    max: connections,
    name: serviceConnections,
    onError: (error) => log.warn({ err: error }, 'a connection to the database broke; it is replaced'),
  });
  // Who still holds a connection when it comes to this has had the time of the drain.
  parts.defer(() => atMost(abandonMs, pool.end()));
  const sessions = createPoolSessions(pool, settings);
  const metrics = createMetrics({
    pool: () => poolUsage(pool),
    jobs: () => readJobStatistics(pool),
    leases: () => countLeases(pool),
  });

  let ready = false;
  const redis: Pick<Feed, 'status'> = { status: async () => 'off' };
  const tls = config.tls === null ? null : parts.use(watchCertificates(config.tls, log));
  const http = createHttpServer({
    host: config.host,
    port: config.httpPort,
    tls,
    log,
    health: {
      database: async () => (await pool.query('SELECT')).command === 'SELECT',
      redis: () => redis.status(),
      worker: role === 'api' ? 'off' : 'up',
    },
    metrics: siblings === null ? metrics.registry : siblings.shareMetrics(metrics.registry),
    isReady: () => ready,
    // Everybody is admin: a page in a browser as well, once its own name points here (DNS rebinding).
    ...(mode.kind === 'none' && !config.insecure && { isOurName: isLoopbackName }),
  });
  parts.use(http);
  // Alone it listens first, so that a port that is taken is noticed early, and /ready says that we are starting. Among
  // others it listens last: who asks on their port must not meet the one that is not ready.
  if (siblings === null) await http.listen();

  const { registryId, keyRing, applied } = await openRegistry(settings, await encryptionKeys(config));
  await warnOfGeneratedKey(config, log);
  if (applied.length > 0) log.info({ applied }, 'the registry was migrated');
  const { client, includingDeleted } = createRegistryClients(pool, keyRing);
  parts.defer(() => client.$disconnect());
  const registry = createRegistry({ client, pool, keyRing });
  const redisServer = config.redisUrl === null ? null : { url: config.redisUrl, tls: config.redisTls };
  const feed = parts.use(
    redisServer !== null
      ? await createRedisFeed({ server: redisServer, registryId, log })
      : siblings !== null
        ? createRelayedFeed(siblings.relay, log)
        : await createLocalFeed(log),
  );
  redis.status = feed.status;
  const cache = parts.use(
    createTenantCache({
      registry,
      shared: redisServer && { server: redisServer, registryId },
      relay: redisServer === null ? (siblings?.relay ?? null) : null,
      onAnswer: metrics.recordCacheRequest,
      log,
    }),
  );

  const leaseStore = createLeaseStore({
    pool,
    roles: createLeaseRoles(registryId),
    restMs: config.pooler === null ? 0 : slotRestMs,
  });
  const { host, port, database: name } = settings;
  const server = { host, port, database: name };
  const accounts = createTenantAccounts({ pool, keyRing });
  const connectionsOf = connectionsFor(config.tierConnections);
  const tenantPools = createTenantPools({
    server: settings,
    names: tenantNames,
    account: async (tenantId) => {
      const { tier, password } = await accounts(tenantId);
      return { password, max: connectionsOf(tier) };
    },
    reaching: reachingDatabase,
    endBackends: (role, backends) => endBackendsOf(settings, role, backends),
    feed,
    budget: tenantConnections,
    onError: (error) => log.warn({ err: error }, 'a connection into the schema of a tenant broke'),
    onWait: (seconds) => metrics.recordPoolWait('tenants', seconds),
    onEviction: metrics.recordPoolEviction,
  });
  parts.defer(() => atMost(abandonMs, tenantPools.drain(0)));
  metrics.watchPool('tenants', tenantPools.totals);

  const core: Core = {
    tenants: createTenants({
      registry,
      feed,
      cache,
      rules: createRules(config.reservedSubdomains),
      digest: keyRing.digest,
    }),
    operations: createOperations({ registry, feed, cache }),
    watch: createWatch({
      history: createEventHistory(pool),
      feed,
      rereadIntervalMs: timings.rereadIntervalMs,
    }),
    leases: createLeases({
      store: leaseStore,
      cache,
      connectionsFor: connectionsOf,
      usage: tenantPools.usage,
      server,
      endpoint: { ...server, ...config.pooler, sslmode: sslmodeOf(settings) },
      durationMs: timings.connectionLeaseMs,
    }),
    audit: createAudit({
      store: createAuditStore(pool),
      onLoss: ({ actor, action, result }, reason) =>
        log.warn({ err: reason, ...actor, action, result }, 'the audit log has not kept a refusal'),
    }),
  };

  let stopWorker: (() => Promise<void>) | null = null;
  if (role !== 'api') {
    const worker = await startOperationWorker({
      config,
      settings,
      pool,
      registryId,
      keyRing,
      leases: leaseStore,
      feed,
      cache,
      metrics,
      timings,
      log,
    });
    stopWorker = worker.stop;
    parts.defer(() => atMost(abandonMs, worker.stop()));
  }

  let grpc: GrpcServer | null = null;
  if (role !== 'worker') {
    const authenticate = rememberCallers(createAuthenticate(mode, log));
    const loopback = isLoopback(config.host);
    const allowance = createAllowance({
      rateLimit:
        config.rateLimit === 0
          ? null
          : createRateLimit({
              objectsPerSecond: config.rateLimit,
              shared: parts.use(
                connectSharedCount({
                  server: redisServer,
                  registryId,
                  nameOf: (subject) => keyRing.digest('rate-limit', subject),
                  hasSiblings: siblings !== null,
                  log,
                }),
              ),
              log,
            }),
      objectsPerSecond: config.rateLimit,
    });
    grpc = await createGrpcServer({
      core,
      authenticate,
      allowance,
      requestLimitMs: timings.requestLimitMs,
      host: config.host,
      port: config.port,
      tls,
      reflection: !config.production,
      metrics: metrics.registry,
      log,
    });
    parts.use(grpc);
    http.serve(
      createGraphqlHandler({
        schema: createSchema(),
        context: { core, prismaIncludingDeleted: includingDeleted },
        authenticate,
        countObjects: createObjectCounter(createSchema()),
        allowance,
        requestLimitMs: timings.requestLimitMs,
        metrics: metrics.graphql,
        log,
        corsOrigins: config.corsOrigins,
        graphiql: !config.production && loopback,
        trustedDocuments: config.trustedDocuments,
        introspection: !config.production,
      }),
    );
    grpc.setServing(true);
  }
  if (siblings !== null) await http.listen();
  ready = true;

  const running = parts.move();
  return {
    core,
    tenantPools,
    httpPort: http.port,
    grpcPort: grpc?.port ?? null,
    devTokenFile,
    async [Symbol.asyncDispose]() {
      ready = false;
      const { drainMs } = timings;
      const deadline = Date.now() + drainMs;
      await Promise.all([
        http.drain(drainMs),
        grpc?.drain(drainMs),
        stopWorker && atMost(drainMs, stopWorker()),
      ]);
      const left = Math.max(0, deadline - Date.now());
      await atMost(left + abandonMs, tenantPools.drain(left));
      if (poolUsage(pool).active > 0) {
        log.warn('not everything was done in time; its statements are ended');
        await sessions.end().catch((error: unknown) => log.warn({ err: error }, 'the statements go on'));
      }
      await running.disposeAsync();
    },
  };
}
