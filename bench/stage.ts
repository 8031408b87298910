import type { Cluster } from './cluster.ts';
import type { Figure } from './figure.ts';
import type { Registries } from './registries.ts';
import { type Service, type ServiceOptions, startService } from './service.ts';

/** What the rows share. */
export interface Stage {
  readonly cluster: Cluster;
  readonly registries: Registries;
  /** Of each contender. */
  readonly rounds: number;
  /** Of a contender in a round, whole ones. */
  readonly seconds: number;
}

/** One measurement with the figures that come of it. */
export interface Row {
  /** By which it is chosen on the command line. */
  readonly name: string;
  measure(stage: Stage): Promise<readonly Figure[]>;
}

/** Connections that stay open, and so many requests at once. */
export const connections = 32;
/** The service's connections to the registry with that {@link startRowService}; the peers' pools have as many. */
export const poolSize = 12;

/** The service as all rows have it: with authentication and metrics, without a limit of rates and without a worker. */
export function startRowService(
  stage: Stage,
  database: string,
  more: Pick<ServiceOptions, 'flags' | 'nodeOptions'> = {},
): Promise<Service> {
  const flags = ['--rate-limit=0', ...(more.flags ?? [])];
  return startService({ cluster: stage.cluster, database, concurrency: 1, role: 'api', ...more, flags });
}
