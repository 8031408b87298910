import { EventEmitter, once } from 'node:events';
import { status as codes } from '@grpc/grpc-js';
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthListResponse,
  type HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../generated/proto/grpc/health/v1/health.ts';
import { CallError } from './call-error.ts';
import type { CallContext, Calls } from './calls.ts';
import { createHealthWatches } from './health-watches.ts';

/** Whether the server serves, and who wants to hear of it. */
export interface Serving {
  readonly current: boolean;
  set(serving: boolean): void;
  /** Resolves when it changes. @throws the signal's reason, wrapped, when that is aborted first */
  change(signal: AbortSignal): Promise<unknown>;
}

/** Not serving until told. */
export function createServing(): Serving {
  const changes = new EventEmitter().setMaxListeners(0);
  let current = false;
  return {
    get current() {
      return current;
    },
    set(serving) {
      current = serving;
      changes.emit('change');
    },
    change: (signal) => once(changes, 'change', { signal }),
  };
}

/**
 * The handlers of `grpc.health.v1.Health` for grpc-js: one status for all `services` and for the server, `""`.
 * https://github.com/grpc/grpc/blob/master/doc/health-checking.md
 */
export function createHealthService(
  serving: Serving,
  services: readonly string[],
  { unary, serverStream }: Calls,
) {
  const known = new Set(['', ...services]);
  const watches = createHealthWatches();
  const present = () => (serving.current ? ServingStatus.SERVING : ServingStatus.NOT_SERVING);

  async function check({ service }: HealthCheckRequest): Promise<HealthCheckResponse> {
    if (!known.has(service)) throw new CallError(codes.NOT_FOUND, 'There is no such service here.');
    return { status: present() };
  }

  async function list(): Promise<HealthListResponse> {
    return { statuses: Object.fromEntries([...known].map((service) => [service, { status: present() }])) };
  }

  async function watch(
    { service }: HealthCheckRequest,
    { actor, signal }: CallContext,
    send: (status: HealthCheckResponse) => Promise<void>,
  ): Promise<void> {
    using _ = watches.open(actor.address);
    let told: ServingStatus | null = null;
    for (;;) {
      const status = known.has(service) ? present() : ServingStatus.SERVICE_UNKNOWN;
      if (status === told) {
        await serving.change(signal);
        continue;
      }
      told = status;
      await send({ status });
    }
  }

  return { check: unary(check), list: unary(list), watch: serverStream(watch) } satisfies Record<
    keyof HealthService,
    unknown
  >;
}
