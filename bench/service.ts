import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { Agent, type IncomingMessage, request } from 'node:http';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { issueToken } from '../src/http/token.ts';
import type { Cluster } from './cluster.ts';
import { startOf } from './ending.ts';

const startWithinMs = 60_000;
/** One for the whole run: several processes follow each other on a database. */
export const encryptionKeys = `bench:${randomBytes(32).toString('base64')}`;

const createMutation = `mutation ($input: CreateTenantInput!) {
  createTenant(input: $input) { ... on CreateTenantPayload { tenant { id } } ... on Error { code message } }
}`;

/** The real process, as users start it. Disposing it drains it, as SIGTERM does. */
export interface Service extends AsyncDisposable {
  readonly pid: number;
  readonly httpPort: number;
  /** 0 in a process without gRPC. */
  readonly grpcPort: number;
  /** A token of an admin by that name, good for a day. */
  token(subject: string): Promise<string>;
  /** Creates a tenant through GraphQL. @returns its id. @throws unless it was acknowledged */
  createTenant(subdomain: string): Promise<string>;
  /** Opens a subscription, which is open when this resolves: a stream of server-sent events, as text. */
  subscribe(query: string): Promise<IncomingMessage>;
  /** Stops the process where it is, until {@link Service.thaw}. */
  freeze(): void;
  thaw(): void;
}

export interface ServiceOptions {
  readonly cluster: Cluster;
  /** The name of one that the service's role owns. */
  readonly database: string;
  readonly concurrency: number;
  /** API and worker in one, unless it says otherwise. */
  readonly role?: 'api' | 'worker';
  /** Further ones of the service. */
  readonly flags?: readonly string[];
  /** Node's own, such as `--cpu-prof`. */
  readonly nodeOptions?: readonly string[];
}

/** Starts `node src/main.ts` on a database and waits until it is ready. */
export function startService(options: ServiceOptions): Promise<Service> {
  const { cluster, concurrency, role = 'all', flags = [], nodeOptions = [] } = options;
  const database = cluster.service(options.database);
  const secret = randomBytes(48).toString('base64url');
  return startOf(async (parts) => {
    const dataDir = await mkdtemp(join(cluster.directory, 'service-'));
    const service = spawn(
      process.execPath,
      [
        ...nodeOptions,
        ...['src/main.ts', `--role=${role}`, `--data-dir=${dataDir}`, '--port=0', '--http-port=0'],
        ...[`--db-host=${database.host}`, `--db-port=${database.port}`, `--db-name=${database.database}`],
        ...[`--db-user=${database.user}`, `--worker-concurrency=${concurrency}`],
        ...flags,
      ],
      {
        cwd: join(import.meta.dirname, '..'),
        env: {
          PATH: process.env.PATH ?? '/usr/bin:/bin',
          TMS_DB_PASS: database.password,
          TMS_ENCRYPTION_KEYS: encryptionKeys,
          TMS_AUTH_SECRET: secret,
        },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    const ended = once(service, 'close');
    parts.defer(async () => {
      service.kill('SIGCONT');
      service.kill('SIGTERM');
      await ended;
    });
    const stuck = setTimeout(() => service.kill('SIGKILL'), startWithinMs);
    const { httpPort, grpcPort } = await readyPorts(service.stdout);
    clearTimeout(stuck);
    service.stdout.resume();
    const key = new TextEncoder().encode(secret);
    const tokenOf = (subject: string) => issueToken(key, { subject, role: 'admin', expiresIn: 86_400 });
    const token = await tokenOf('bench');
    const agent = new Agent({ keepAlive: true });
    parts.defer(() => agent.destroy());

    function post(body: unknown, accept: string): Promise<IncomingMessage> {
      const headers = { accept, authorization: `Bearer ${token}`, 'content-type': 'application/json' };
      const to = { host: '127.0.0.1', port: httpPort, path: '/graphql', method: 'POST', headers, agent };
      return new Promise((resolve, reject) => {
        request(to, resolve).on('error', reject).end(JSON.stringify(body));
      });
    }

    return {
      pid: service.pid ?? 0,
      httpPort,
      grpcPort,
      token: tokenOf,
      async createTenant(subdomain) {
        const input = { name: `Tenant ${subdomain}`, subdomain, contactEmail: `ops@${subdomain}.example` };
        const answer = await text(
          await post({ query: createMutation, variables: { input } }, 'application/json'),
        );
        const [, id] = /"tenant":\{"id":"([^"]+)"/.exec(answer) ?? [];
        if (id === undefined) throw new Error(`the tenant was not created: ${answer}`);
        return id;
      },
      async subscribe(query) {
        const response = await post({ query }, 'text/event-stream');
        if (response.statusCode === 200) return response.setEncoding('utf8');
        throw new Error(`the subscription was refused: ${await text(response)}`);
      },
      freeze: () => void service.kill('SIGSTOP'),
      thaw: () => void service.kill('SIGCONT'),
    };
  });
}

async function text(response: IncomingMessage): Promise<string> {
  let all = '';
  for await (const chunk of response.setEncoding('utf8')) all += chunk;
  return all;
}

/** The ports, from the entry of the log which says that the service is ready. */
async function readyPorts(output: Readable): Promise<{ httpPort: number; grpcPort: number }> {
  let logged = '';
  for await (const chunk of output.iterator({ destroyOnReturn: false })) {
    logged += String(chunk);
    const [, http, grpc] = /"http":(\d+),"grpc":(\d+|null).*"msg":"ready"/.exec(logged) ?? [];
    if (http !== undefined) return { httpPort: Number(http), grpcPort: Number(grpc) || 0 };
  }
  throw new Error(`the service did not become ready: ${logged}`);
}
