import { spawnSync } from 'node:child_process';
import { request } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { connect, failureOf } from '../grpc/grpc-client.ts';
import { createTestAuthority, opensslMissing } from '../support/certificates.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { eventually } from '../support/eventually.ts';
import {
  createDirectory,
  type Directory,
  databaseArguments,
  devToken,
  type RunningService,
  startService,
} from '../support/process.ts';
import { redisMissing, startRedis } from '../support/redis.ts';
import { agentOf, get, trusting } from '../tls/peers.ts';
import { type Caller, createTenant, graphql, httpGet, type OpenStream, openStream } from './calls.ts';
import { childrenOf, connectionsTo, openConnections, procMissing } from './several-processes.ts';

let directory: Directory;
let database: TestDatabase;

beforeAll(async () => {
  directory = await createDirectory();
  database = await createTestDatabase();
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await directory[Symbol.asyncDispose]();
});

const start = (...args: readonly string[]): Promise<RunningService> =>
  startService({
    dataDir: directory.path,
    args: [...databaseArguments(database.settings), '--processes=2', ...args],
  });
const callerOf = async ({ httpUrl }: RunningService): Promise<Caller> => ({
  url: httpUrl,
  token: await devToken(directory.path),
});
const portsOf = ({ httpUrl, grpcAddress }: RunningService) =>
  [httpUrl, grpcAddress].map((address) => Number(address.split(':').at(-1)));

describe('two processes', () => {
  test.skipIf(procMissing !== null)('share both ports', async () => {
    await using service = await start();
    const pids = await childrenOf(service.pid);
    expect(pids).toHaveLength(2);
    // Of the configuration, which has secrets, their command lines have nothing.
    const commands = spawnSync('ps', ['-o', 'command=', ...pids.map(String)], { encoding: 'utf8' });
    expect(commands.stdout.match(/src\/child\.ts$/gm)).toHaveLength(2);
    for (const port of portsOf(service)) {
      using _open = await openConnections(port, 12);
      await eventually(async () => {
        const [one = 0, other = 0] = await connectionsTo(port, pids);
        return one > 0 && other > 0 && one + other === 12;
      }, 5_000);
    }
    const caller = await callerOf(service);
    for (let times = 0; times < 4; times++) {
      expect(await httpGet(`${service.httpUrl}/ready`)).toEqual({ status: 200, body: { status: 'ready' } });
      expect(await graphql(caller, '{ __typename }')).toEqual({ data: { __typename: 'Query' } });
      using client = connect(service.grpcAddress, caller.token);
      expect(await failureOf(client.unary(rpc.getTenant, { id: crypto.randomUUID() }))).toMatchObject({
        code: 'NOT_FOUND',
      });
    }
  });

  test.skipIf(opensslMissing !== null)('share both ports with TLS', async () => {
    await using authority = await createTestAuthority();
    const { cert, key } = await authority.issue('shared');
    await using service = await start(`--tls-cert=${cert}`, `--tls-key=${key}`);
    const [http, grpc] = portsOf(service);
    for (let times = 0; times < 4; times++) {
      const answer = await get(`https://localhost:${http}/ready`, agentOf(authority.cert));
      expect(answer).toMatchObject({ status: 200 });
      using client = connect(`localhost:${grpc}`, await devToken(directory.path), trusting(authority.cert));
      expect(await failureOf(client.unary(rpc.getTenant, { id: crypto.randomUUID() }))).toMatchObject({
        code: 'NOT_FOUND',
      });
    }
  });

  test.skipIf(procMissing !== null).each(['without Redis', 'with Redis'])(
    '%s: subscribers of each hear of what the worker of the other does',
    async (which) => {
      if (which === 'with Redis' && redisMissing !== null) return;
      await using parts = new AsyncDisposableStack();
      const redis = which === 'with Redis' ? parts.use(await startRedis()) : null;
      const service = parts.use(await start(...(redis === null ? [] : [`--redis-url=${redis.url}`])));
      const caller = await callerOf(service);
      const feeds: OpenStream[] = [];
      for (let number = 0; number < 6; number++) {
        feeds.push(await openStream(caller, 'subscription { provisioningFeed { tenantId sequence } }'));
      }
      const [http = 0] = portsOf(service);
      const held = await connectionsTo(http, await childrenOf(service.pid));
      expect(Math.min(...held), `${held}`).toBeGreaterThan(0);

      for (let number = 0; number < 4; number++) {
        const id = await createTenant(caller, `${which.replace(' ', '-').toLowerCase()}-${number}`);
        const active = { data: { tenant: { status: 'ACTIVE' } } };
        await eventually(
          async () => isDeepStrictEqual(await graphql(caller, `{ tenant(id: "${id}") { status } }`), active),
          30_000,
        );
        // Much sooner than by reading the history again, which each does after ten seconds without an event.
        await eventually(() => feeds.every((feed) => sequencesOf(feed.soFar(), id).includes(13)), 3_000);
        for (const feed of feeds) {
          expect(sequencesOf(feed.soFar(), id)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
        }
      }
      service.signal('SIGTERM');
      expect(await service.end).toMatchObject({ code: 0, stderr: '' });
    },
  );

  test('answer the same metrics, those of both together', async () => {
    await using own = await createTestDatabase();
    const args = [...databaseArguments(own.settings), '--processes=2', '--role=api'];
    await using service = await startService({ dataDir: directory.path, args });
    const caller = await callerOf(service);
    for (let number = 0; number < 6; number++) await createTenant(caller, `counted-${number}`);
    const page = await metricsOf(service);
    expect(page).toContain(
      '\ngraphql_operation_duration_seconds_count{operation_type="mutation",outcome="ok"} 6\n',
    );
    // What is the same in each process is not added up, and each process's pool is.
    expect(page).toContain('\nprovisioning_jobs{state="ready"} 6\n');
    expect(page).toContain('\npool_connections_max{pool="tenants"} 100\n');
    if (spawnSync('promtool', ['--version']).status === 0) {
      const check = spawnSync('promtool', ['check', 'metrics'], { input: page, encoding: 'utf8' });
      expect(check).toMatchObject({ status: 0, stderr: '' });
    }

    // What has been counted stays when one of them dies.
    const [pid = 0] = await childrenOf(service.pid);
    process.kill(pid, 'SIGKILL');
    await service.logged('a process has taken the place of the one that died');
    expect(await metricsOf(service)).toContain(
      '\ngraphql_operation_duration_seconds_count{operation_type="mutation",outcome="ok"} 6\n',
    );
  });

  test('count together what a principal asks for', async () => {
    await using service = await start('--rate-limit=10');
    const caller = await callerOf(service);
    const ask = () => graphql(caller, '{ __typename }');
    // All within one second, or it says nothing.
    const answers = await eventually(async () => {
      const begun = performance.now();
      const all = await Promise.all(Array.from({ length: 30 }, ask));
      return performance.now() - begun < 900 && all;
    }, 20_000);
    expect(answers.filter(({ data }) => data?.__typename === 'Query')).toHaveLength(10);
  });

  test.each(['api', 'worker'])('with --role %s do what one does', async (role) => {
    await using service = await start(`--role=${role}`);
    expect(await httpGet(`${service.httpUrl}/health`)).toEqual({
      status: 200,
      body: {
        status: 'ok',
        checks: { database: 'up', redis: 'off', worker: role === 'worker' ? 'up' : 'off' },
      },
    });
    expect((await fetch(`${service.httpUrl}/graphql`)).status).toBe(role === 'worker' ? 404 : 200);
    service.signal('SIGTERM');
    expect(await service.end).toMatchObject({ code: 0, stderr: '' });
  });
});

/** The numbers of a tenant's events in a stream. */
function sequencesOf(text: string, tenantId: string): number[] {
  const events = text.matchAll(new RegExp(`"tenantId":"${tenantId}","sequence":(\\d+)`, 'g'));
  return [...events].map(([, sequence]) => Number(sequence));
}

/** By a connection of its own. */
function metricsOf({ httpUrl }: RunningService): Promise<string> {
  return new Promise((resolve, reject) => {
    const sent = request(`${httpUrl}/metrics`, { agent: false }, async (response) => {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk;
      resolve(text);
    });
    sent.on('error', reject).end();
  });
}
