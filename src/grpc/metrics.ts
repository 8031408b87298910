import { status } from '@grpc/grpc-js';
import { Counter, Histogram, type Registry } from 'prom-client';

export interface CallMetrics {
  /** Starts the clock of a call of `path` (`/package.Service/Method`); what it answers is called when it is over. */
  begin(path: string): (code: status) => void;
}

/** The calls that were handled, and how long they took. Only methods that exist are counted, so labels are bounded. */
export function createCallMetrics(registry: Registry): CallMetrics {
  const handled = new Counter({
    name: 'grpc_server_handled_total',
    help: 'gRPC calls that ended, by method and status code.',
    labelNames: ['grpc_service', 'grpc_method', 'grpc_code'],
    registers: [registry],
  });
  const handling = new Histogram({
    name: 'grpc_server_handling_seconds',
    help: 'Time from a gRPC call to its status; a stream counts whole.',
    labelNames: ['grpc_service', 'grpc_method'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers: [registry],
  });
  const labels = new Map<string, ReturnType<typeof labelsOf>>();
  return {
    begin(path) {
      const method = labels.get(path) ?? labelsOf(path);
      labels.set(path, method);
      const started = performance.now();
      return (code) => {
        handling.observe(method, (performance.now() - started) / 1000);
        handled.inc({ ...method, grpc_code: status[code] });
      };
    },
  };
}

function labelsOf(path: string) {
  const [, grpc_service = '', grpc_method = ''] = path.split('/');
  return { grpc_service, grpc_method };
}
