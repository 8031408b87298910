import { status } from '@grpc/grpc-js';
import { Counter, type Registry } from 'prom-client';
import { createBatchedHistogram } from '../batched-histogram.ts';

export interface CallMetrics {
  /** Starts the clock of a call of `path` (`/package.Service/Method`); what it answers is called when it is over. */
  begin(path: string): (code: status) => void;
}

/** The calls that were handled, and how long they took. Only methods that exist are counted, so labels are bounded. */
export function createCallMetrics(registry: Registry): CallMetrics {
  const methods = new Map<string, Method>();
  new Counter({
    name: 'grpc_server_handled_total',
    help: 'gRPC calls that ended, by method and status code.',
    labelNames: ['grpc_service', 'grpc_method', 'grpc_code'],
    registers: [registry],
    // Counted by hand, as the look-up of each counter costs too much for every call.
    collect() {
      this.reset();
      for (const { labels, handled } of methods.values())
        for (const [code, count] of handled) this.inc({ ...labels, grpc_code: status[code] }, count);
    },
  });
  const handling = createBatchedHistogram({
    name: 'grpc_server_handling_seconds',
    help: 'Time from a gRPC call to its status; a stream counts whole.',
    labelNames: ['grpc_service', 'grpc_method'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  function methodOf(path: string): Method {
    const known = methods.get(path);
    if (known !== undefined) return known;
    const [, grpc_service = '', grpc_method = ''] = path.split('/');
    const method = { labels: { grpc_service, grpc_method }, handled: new Map() };
    methods.set(path, method);
    return method;
  }

  return {
    begin(path) {
      const { labels, handled } = methodOf(path);
      const started = performance.now();
      return (code) => {
        handling.observe(labels, (performance.now() - started) / 1000);
        handled.set(code, (handled.get(code) ?? 0) + 1);
      };
    },
  };
}

interface Method {
  readonly labels: { readonly grpc_service: string; readonly grpc_method: string };
  /** How many calls ended with each code. */
  readonly handled: Map<status, number>;
}
