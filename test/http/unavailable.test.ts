import { pino } from 'pino';
import { expect, test } from 'vitest';
import { createAudit } from '../../src/core/audit.ts';
import { createLeases } from '../../src/core/leases.ts';
import { createOperations } from '../../src/core/operations.ts';
import { createTenants } from '../../src/core/tenants.ts';
import { createRules } from '../../src/core/validation.ts';
import { createWatch } from '../../src/core/watch.ts';
import { createAuditStore } from '../../src/db/audit-store.ts';
import { createEventHistory } from '../../src/db/event-history.ts';
import { readJobStatistics } from '../../src/db/job-statistics.ts';
import { createKeyRing } from '../../src/db/key-ring.ts';
import { countLeases, createLeaseStore } from '../../src/db/lease-store.ts';
import { createPool, poolUsage } from '../../src/db/pool.ts';
import { createRegistryClients } from '../../src/db/prisma-client.ts';
import { createRegistry } from '../../src/db/registry.ts';
import { createLocalFeed } from '../../src/events/local-feed.ts';
import { createAuthenticate } from '../../src/http/authentication.ts';
import { createGraphqlHandler } from '../../src/http/graphql.ts';
import { createMetrics } from '../../src/http/metrics.ts';
import { createHttpServer } from '../../src/http/server.ts';
import { issueToken } from '../../src/http/token.ts';
import { createSchema } from '../../src/resolvers/schema.ts';
import { createObjectCounter } from '../../src/schema/complexity.ts';
import { createLeaseRoles } from '../../src/workers/lease-roles.ts';
import { unlimited } from '../support/allowance.ts';
import { uncached } from '../support/uncached.ts';
import { graphqlClient } from './graphql-client.ts';

// Nobody listens on port 1.
const nowhere = {
  host: '127.0.0.1',
  port: 1,
  user: 'nobody',
  password: 'none',
  database: 'none',
  ssl: false,
} as const;
const secret = new TextEncoder().encode('a secret that has at least 32 bytes');

test('a database that is out is UNAVAILABLE, over every kind of operation', async () => {
  await using parts = new AsyncDisposableStack();
  const admin = await issueToken(secret, { subject: 'test', role: 'admin', expiresIn: 60 });
  const pool = createPool(nowhere, { max: 2, name: 'test', onError: () => {} });
  parts.defer(() => pool.end());
  const keyRing = createKeyRing([{ id: 'test', key: new Uint8Array(32) }], new Uint8Array(32));
  const { client: prisma, includingDeleted } = createRegistryClients(pool, keyRing);
  const registry = createRegistry({ client: prisma, pool, keyRing });
  const cache = uncached(registry);
  const log = pino({ level: 'silent' });
  const feed = parts.use(await createLocalFeed(log));
  const metrics = createMetrics({
    pool: () => poolUsage(pool),
    jobs: () => readJobStatistics(pool),
    leases: () => countLeases(pool),
  });
  const server = parts.use(
    createHttpServer({
      host: '127.0.0.1',
      port: 0,
      tls: null,
      health: {
        database: async () => (await pool.query('SELECT')).rowCount === 1,
        redis: async () => 'off',
        worker: 'off',
      },
      metrics: metrics.registry,
      isReady: () => true,
      log,
    }),
  );
  await server.listen();
  server.serve(
    createGraphqlHandler({
      schema: createSchema(),
      context: {
        core: {
          tenants: createTenants({
            registry,
            feed,
            cache,
            rules: createRules(new Set()),
            digest: keyRing.digest,
          }),
          operations: createOperations({ registry, feed, cache }),
          watch: createWatch({ history: createEventHistory(pool), feed, rereadIntervalMs: 1_000 }),
          leases: createLeases({
            store: createLeaseStore({ pool, roles: createLeaseRoles('none'), restMs: 0 }),
            cache,
            connectionsFor: () => 1,
            usage: () => ({ active: 0, idle: 0, waiting: 0 }),
            server: nowhere,
            endpoint: { ...nowhere, sslmode: 'disable' },
            durationMs: 1_000,
          }),
          audit: createAudit({
            store: createAuditStore(pool),
            onLoss: (_refusal, reason) => expect.unreachable(String(reason)),
          }),
        },
        prismaIncludingDeleted: includingDeleted,
      },
      countObjects: createObjectCounter(createSchema()),
      allowance: unlimited(),
      requestLimitMs: 30_000,
      trustedDocuments: null,
      introspection: true,
      authenticate: createAuthenticate({ kind: 'secret', secret, issuer: null, audience: null }, log),
      metrics: metrics.graphql,
      log,
      corsOrigins: [],
      graphiql: false,
    }),
  );
  const out = graphqlClient({
    httpUrl: `http://127.0.0.1:${server.port}`,
    tokens: { viewer: admin, editor: admin, admin },
  });
  const id = '00000000-0000-0000-0000-000000000000';
  for (const query of [
    '{ tenants { nodes { id } } }',
    `{ node(id: "${id}") { id } }`,
    `mutation { deleteTenant(id: "${id}") { __typename } }`,
  ]) {
    const { body } = await out.run('admin', query);
    expect(body.errors).toMatchObject([
      {
        message: 'The database cannot be reached; try again in a moment.',
        extensions: { code: 'UNAVAILABLE' },
      },
    ]);
  }
  using stream = await out.stream('admin', `subscription { tenantProvisioning(tenantId: "${id}") { step } }`);
  expect(await stream.next()).toMatchObject({
    value: { data: { errors: [{ extensions: { code: 'UNAVAILABLE' } }] } },
  });
  expect((await fetch(`http://127.0.0.1:${server.port}/health`)).status).toBe(503);
});
