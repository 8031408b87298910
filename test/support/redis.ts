import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { eventually } from './eventually.ts';
import { freePort } from './free-port.ts';

const givenUrl = process.env.TMS_TEST_REDIS_URL || null;

/** Null when there is a Redis to test with; else why not, for `describe.skipIf` and for the one line that says so. */
export const redisMissing: string | null =
  givenUrl !== null || spawnSync('redis-server', ['--version']).status === 0
    ? null
    : 'the tests that need Redis are skipped: no redis-server on the PATH and no TMS_TEST_REDIS_URL';

export interface TestRedis extends AsyncDisposable {
  /** What the service is given. */
  readonly url: string;
  /** A client of its own, straight to the server; it ends with the server. */
  client(): Redis;
  /** As if the server had gone: every connection by `url` breaks, none is accepted. */
  goDown(): Promise<void>;
  comeBack(): Promise<void>;
  /** Breaks the service's connections on the server. @returns how many there were */
  killConnections(name: 'publisher' | 'subscriber' | 'cache' | 'cache-subscriber'): Promise<number>;
}

/**
 * A private `redis-server` that keeps nothing, or the one that TMS_TEST_REDIS_URL names. The service's way to it leads
 * over a port that can be closed: a server that is given cannot be stopped.
 */
export async function startRedis(): Promise<TestRedis> {
  await using stack = new AsyncDisposableStack();
  const target = new URL(givenUrl ?? `redis://127.0.0.1:${await startRedisServer(stack)}`);
  const relay = stack.use(await startRelay(target.hostname, Number(target.port || 6379)));
  const viaRelay = new URL(target);
  viaRelay.hostname = '127.0.0.1';
  viaRelay.port = String(relay.port);
  const connectTo = (owner: AsyncDisposableStack) => {
    const redis = new Redis(target.href, { retryStrategy: null });
    redis.on('error', () => {});
    owner.defer(() => redis.disconnect());
    return redis;
  };
  const control = connectTo(stack);
  await control.ping();
  const running = stack.move();
  return {
    url: viaRelay.href,
    client: () => connectTo(running),
    goDown: relay.close,
    comeBack: relay.open,
    async killConnections(name) {
      const list = String(await control.client('LIST'));
      const ids = list
        .split('\n')
        .filter((line) => line.includes(` name=tenant-management-service:${name} `))
        // Others may use the server too.
        .filter((line) => relay.ports().includes(Number(/ addr=\S*:(\d+) /.exec(line)?.[1])))
        .map((line) => /^id=(\d+) /.exec(line)?.[1] ?? '');
      const killed = await Promise.all(ids.map((id) => control.client('KILL', 'ID', id)));
      return killed.reduce<number>((sum, count) => sum + Number(count), 0);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Starts a `redis-server` on loopback that keeps nothing, and ends with `stack`. @returns its port, which it accepts on */
export async function startRedisServer(stack: AsyncDisposableStack): Promise<number> {
  const directory = await mkdtemp(join(tmpdir(), 'tms-redis-'));
  stack.defer(() => rm(directory, { recursive: true, force: true }));
  const port = await freePort();
  const server = spawn(
    'redis-server',
    ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', directory],
    { stdio: 'ignore' },
  );
  const ended = once(server, 'close');
  stack.defer(async () => {
    server.kill('SIGKILL');
    await ended;
  });
  await eventually(() => accepts(port), 10_000);
  return port;
}

async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } finally {
    socket.destroy();
  }
}

function portOf(server: Server): number {
  const address = server.address() as AddressInfo;
  return address.port;
}

interface Relay extends AsyncDisposable {
  readonly port: number;
  /** From which its connections reach the target. */
  ports(): (number | undefined)[];
  close(): Promise<void>;
  open(): Promise<void>;
}

/** Passes what comes on a port of its own to `host:port`, and back. */
async function startRelay(host: string, targetPort: number): Promise<Relay> {
  const sockets = new Set<Socket>();
  const relay = createServer((near) => {
    const far = connect(targetPort, host);
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      socket.setNoDelay(true).pipe(other);
    }
  });
  const open = async (port: number) => {
    relay.listen(port, '127.0.0.1');
    await once(relay, 'listening');
  };
  await open(0);
  const port = portOf(relay);
  const close = async () => {
    if (!relay.listening) return;
    const closed = once(relay, 'close');
    relay.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return {
    port,
    ports: () => [...sockets].map(({ localPort }) => localPort),
    open: () => open(port),
    close,
    [Symbol.asyncDispose]: close,
  };
}
