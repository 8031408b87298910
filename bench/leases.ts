import { randomBytes } from 'node:crypto';
import { mkdtemp } from 'node:fs/promises';
import { join } from 'node:path';
import { Client, credentials, Metadata, type MethodDefinition } from '@grpc/grpc-js';
import pg from 'pg';
import { pino } from 'pino';
import { createApp } from '../src/app.ts';
import { readInvocation } from '../src/config.ts';
import { ConnectionPoolServiceService as rpc } from '../src/generated/proto/connectionpool/connection_pool.ts';
import { issueToken } from '../src/http/token.ts';
import { scramVerifier } from '../src/workers/scram.ts';
import { leaseLogin, tenantNames } from '../src/workers/tenant-names.ts';
import { actor } from '../test/support/actor.ts';
import { eventually } from '../test/support/eventually.ts';
import type { Cluster } from './cluster.ts';
import { startOf } from './ending.ts';

/** Leases taken and released per second in one round. */
export interface LeaseRound {
  /** Over gRPC. */
  readonly service: number;
  /** The same statements on the role, sent by `pg` alone. */
  readonly bare: number;
}

export interface LeaseFigures {
  readonly rounds: readonly LeaseRound[];
  /** Leases taken and released in each round. */
  readonly leases: number;
  /** Callers, each with a tenant of its own. */
  readonly atOnce: number;
}

interface LeaseOptions {
  readonly rounds?: number;
  readonly leases?: number;
  readonly atOnce?: number;
}

/**
 * Alternating rounds of leases that are taken and released over gRPC, and of what that does to the role by `pg` alone, on
 * tenants of the same server. The slots are there before: what comes before the first round is not counted. Service, load
 * and peer are in this process.
 */
export async function leaseFigures(
  cluster: Cluster,
  { rounds = 7, leases = 400, atOnce = 4 }: LeaseOptions = {},
): Promise<LeaseFigures> {
  await cluster.createDatabase('leases');
  await using service = await startService(cluster);
  const tenants = await service.provision(2 * atOnce);
  for (const id of tenants) await service.borrow(id);
  await using bare = await connectBare(cluster, tenants.slice(atOnce));

  const perSecond = async (of: readonly string[], cycle: (id: string) => Promise<void>) => {
    let begun = 0;
    const start = performance.now();
    await Promise.all(
      of.map(async (id) => {
        while (begun++ < leases) await cycle(id);
      }),
    );
    return (leases * 1_000) / (performance.now() - start);
  };
  const round = async () => ({
    service: await perSecond(tenants.slice(0, atOnce), service.borrow),
    bare: await perSecond(tenants.slice(atOnce), bare.cycle),
  });
  await round();
  const counted: LeaseRound[] = [];
  for (let number = 1; number <= rounds; number++) counted.push(await round());
  return { rounds: counted, leases, atOnce };
}

/** The service as a caller meets it, in this process. */
function startService(cluster: Cluster) {
  return startOf(async (parts) => {
    const dataDir = await mkdtemp(join(cluster.directory, 'service-'));
    const { host, port, user, password, database } = cluster.service('leases');
    const secret = randomBytes(48).toString('base64url');
    const invocation = readInvocation(
      [
        ...['--port=0', '--http-port=0', `--data-dir=${dataDir}`, `--auth-secret=${secret}`],
        ...[`--db-host=${host}`, `--db-port=${port}`, `--db-user=${user}`, `--db-pass=${password}`],
        ...[`--db-name=${database}`, `--encryption-keys=bench:${randomBytes(32).toString('base64')}`],
      ],
      {},
    );
    if (invocation.kind !== 'serve') throw new Error('the flags of the service ask for something else');
    const app = parts.use(await createApp(invocation.config, pino({ level: 'silent' })));
    const client = new Client(`127.0.0.1:${app.grpcPort}`, credentials.createInsecure());
    parts.defer(() => client.close());
    const key = new TextEncoder().encode(secret);
    const principal = actor('admin', 'bench');
    const metadata = new Metadata();
    metadata.set('authorization', `Bearer ${await issueToken(key, { ...principal, expiresIn: 86_400 })}`);

    function call<Request, Response>(
      { path, requestSerialize, responseDeserialize }: MethodDefinition<Request, Response>,
      request: Request,
    ): Promise<Response> {
      return new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          path,
          requestSerialize,
          responseDeserialize,
          request,
          metadata,
          (error, response) => {
            if (response === undefined) reject(error);
            else resolve(response);
          },
        );
      });
    }

    return {
      async provision(count: number): Promise<string[]> {
        const ids: string[] = [];
        while (ids.length < count) {
          const subdomain = `lease-${ids.length}`;
          const input = { name: subdomain, subdomain, contactEmail: `ops@${subdomain}.example` };
          const { tenant } = await app.core.tenants.create(principal, input);
          await eventually(async () => (await app.core.tenants.get(tenant.id)).status === 'ACTIVE', 60_000);
          ids.push(tenant.id);
        }
        return ids;
      },
      async borrow(tenantId: string): Promise<void> {
        const { connectionId } = await call(rpc.getConnection, { tenantId, dsn: '' });
        await call(rpc.releaseConnection, { connectionId });
      },
    };
  });
}

/** A connection for each tenant, and what a lease does to its first slot: in as many transactions, a round trip each. */
function connectBare(cluster: Cluster, tenants: readonly string[]) {
  return startOf(async (parts) => {
    const verifier = await scramVerifier(randomBytes(32).toString('base64url'));
    const cycles = new Map<string, () => Promise<void>>();
    for (const id of tenants) {
      const client = new pg.Client(cluster.service('leases'));
      client.on('error', () => {});
      await client.connect();
      parts.defer(() => client.end());
      const names = tenantNames(id);
      const login = leaseLogin(names, 1);
      const { rows } = await client.query(
        `SELECT member::regrole::text AS admin FROM pg_auth_members WHERE roleid = $1::regrole AND admin_option`,
        [names.owner],
      );
      const transaction = (...statements: string[]) =>
        ['BEGIN', `SET LOCAL ROLE ${rows[0].admin}`, ...statements, 'COMMIT'].join(';\n');
      const open = transaction(
        `ALTER ROLE ${login} LOGIN CONNECTION LIMIT 1 PASSWORD '${verifier}' VALID UNTIL '2100-01-01'`,
      );
      const close = transaction(`ALTER ROLE ${login} NOLOGIN`);
      const end = `SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE usename = '${login}'`;
      cycles.set(id, async () => {
        for (const statements of [open, close, end]) await client.query(statements);
      });
    }
    return { cycle: async (id: string) => cycles.get(id)?.() };
  });
}
