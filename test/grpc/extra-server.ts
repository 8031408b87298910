import { pino } from 'pino';
import { Registry } from 'prom-client';
import type { Core } from '../../src/core/core.ts';
import type { ProvisioningEvent } from '../../src/core/model.ts';
import { createGrpcServer, type GrpcServer, type GrpcServerOptions } from '../../src/grpc/server.ts';
import { unlimited } from '../support/allowance.ts';

export interface ExtraServer extends GrpcServer {
  readonly address: string;
  /** How many watches are neither at their end nor closed. */
  openWatches(): number;
}

/** Another gRPC server over the same core, that needs no token and counts its watches. */
export async function serveAgain(
  core: Core,
  { reflection = false, ...options }: Partial<Pick<GrpcServerOptions, 'reflection' | 'connectionAgeMs'>> = {},
): Promise<ExtraServer> {
  const open = new Set<AsyncIterator<ProvisioningEvent>>();
  const server = await createGrpcServer({
    allowance: unlimited(),
    requestLimitMs: 30_000,
    core: { ...core, watch: { ...core.watch, one: (id, after) => counted(core.watch.one(id, after), open) } },
    authenticate: async () => ({ subject: 'test', role: 'admin', expiresAt: Infinity }),
    host: '127.0.0.1',
    port: 0,
    tls: null,
    reflection,
    ...options,
    metrics: new Registry(),
    log: pino({ level: 'silent' }),
  });
  return { ...server, address: `127.0.0.1:${server.port}`, openWatches: () => open.size };
}

function counted(
  events: AsyncIterableIterator<ProvisioningEvent>,
  open: Set<AsyncIterator<ProvisioningEvent>>,
): AsyncIterableIterator<ProvisioningEvent> {
  open.add(events);
  const seen = (result: IteratorResult<ProvisioningEvent>) => {
    if (result.done) open.delete(events);
    return result;
  };
  return {
    next: async () => seen(await events.next()),
    return: async () => seen((await events.return?.()) ?? { done: true, value: undefined }),
    [Symbol.asyncIterator]() {
      return this;
    },
  };
}
