import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { createBatchedHistogram } from '../batched-histogram.ts';
import { withCancellation } from '../core/cancellation.ts';

/** A database that has not answered after this long is left out, milliseconds; Prometheus waits ten seconds for a page. */
const patience = 1_000;

export interface PoolUsage {
  readonly active: number;
  readonly idle: number;
  /** Requests that wait for a connection. */
  readonly waiting: number;
  readonly max: number;
}

export interface JobUsage {
  readonly ready: number;
  readonly running: number;
  readonly failed: number;
  readonly oldestSeconds: number;
}

export interface MetricsOptions {
  /** Asked whenever the metrics are read. */
  readonly pool: () => PoolUsage;
  /** Asked whenever the metrics are read, once at a time. */
  readonly jobs: () => Promise<JobUsage>;
  /** How many there are; asked likewise. */
  readonly leases: () => Promise<number>;
}

export type Metrics = ReturnType<typeof createMetrics>;
export type GraphqlMetrics = Metrics['graphql'];

/**
 * The metrics of this process. Names are fixed, dashboards use them; no label holds a tenant, an address or free text.
 * Others register theirs on the same `registry`. Processes that share their ports add theirs up, unless a metric's
 * `aggregator` says otherwise: what is the same in all of them must not be added up.
 */
export function createMetrics({ pool, jobs, leases }: MetricsOptions) {
  const pools = new Map([['registry', pool]]);
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  // Gauges whose names end like a counter's: `promtool check metrics` refuses the whole page for them.
  for (const name of ['handles', 'requests', 'resources'])
    registry.removeSingleMetric(`nodejs_active_${name}_total`);

  const provisioned = new Counter({
    name: 'tenants_provisioned_total',
    help: 'Provisionings that ended, by how they ended.',
    labelNames: ['status'],
    registers,
  });
  for (const status of ['success', 'failed']) provisioned.inc({ status }, 0);

  const provisioningDuration = new Histogram({
    name: 'tenant_provisioning_duration_seconds',
    help: 'From the acceptance of a provisioning to its end.',
    buckets: [0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60, 300],
    registers,
  });

  new Gauge({
    name: 'pool_connections',
    help: 'Connections of a pool by what they do; waiting are the requests that have none yet.',
    labelNames: ['pool', 'state'],
    registers,
    collect() {
      for (const [name, usage] of pools) {
        const { active, idle, waiting } = usage();
        this.set({ pool: name, state: 'active' }, active);
        this.set({ pool: name, state: 'idle' }, idle);
        this.set({ pool: name, state: 'waiting' }, waiting);
      }
    },
  });
  new Gauge({
    name: 'pool_connections_max',
    help: 'Connections that a pool may have.',
    labelNames: ['pool'],
    registers,
    collect() {
      for (const [name, usage] of pools) this.set({ pool: name }, usage().max);
    },
  });
  const poolWaits = new Histogram({
    name: 'pool_wait_seconds',
    help: 'Until a borrower had its connection, or waited in vain.',
    labelNames: ['pool'],
    buckets: [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const evictions = new Counter({
    name: 'pool_evictions_total',
    help: 'Connections into the schema of a tenant that were closed to make room for another one.',
    registers,
  });

  // Behind the pool's, which would count the connection that this takes.
  const jobsInTime = readingInTime(jobs);
  new Gauge({
    name: 'provisioning_jobs',
    help: 'Operations of the whole registry, the same in every process. ready: waiting for a worker or for the next try; running: in the hands of a worker; failed: given up, still the newest of its tenant. Absent while the database does not answer.',
    labelNames: ['state'],
    aggregator: 'first',
    registers,
    async collect() {
      const usage = await jobsInTime();
      this.reset();
      if (usage === null) return;
      this.set({ state: 'ready' }, usage.ready);
      this.set({ state: 'running' }, usage.running);
      this.set({ state: 'failed' }, usage.failed);
    },
  });
  new Gauge({
    name: 'provisioning_oldest_job_age_seconds',
    help: 'Since the oldest operation that is ready or running was accepted; 0 without one. Absent while the database does not answer.',
    aggregator: 'first',
    registers,
    async collect() {
      const usage = await jobsInTime();
      if (usage === null) this.remove();
      else this.set(usage.oldestSeconds);
    },
  });
  const leasesInTime = readingInTime(leases);
  new Gauge({
    name: 'pool_leases',
    help: "Leases of tenants' logins in the whole registry, the same in every process. Absent while the database does not answer.",
    aggregator: 'first',
    registers,
    async collect() {
      const count = await leasesInTime();
      if (count === null) this.remove();
      else this.set(count);
    },
  });

  // Counted by hand: the look-up of a label's counter would cost as much as the answer that is counted.
  const cacheRequests = {
    'memory hit': 0,
    'memory miss': 0,
    'redis hit': 0,
    'redis miss': 0,
    'redis bypass': 0,
  };
  new Counter({
    name: 'cache_requests_total',
    help: 'Look-ups of single tenants by what each tier answered. bypass: Redis was off after a failure, or did not answer. Without a Redis nothing is counted for the tier redis.',
    labelNames: ['tier', 'result'],
    registers,
    collect() {
      this.reset();
      for (const [answer, count] of Object.entries(cacheRequests)) {
        const [tier = '', result = ''] = answer.split(' ');
        this.inc({ tier, result }, count);
      }
    },
  });

  return {
    registry,
    /** Counts what a tier of the cache answered. */
    recordCacheRequest(answer: keyof typeof cacheRequests): void {
      cacheRequests[answer] += 1;
    },
    /** Shows one more pool, under its name. */
    watchPool(name: string, usage: () => PoolUsage): void {
      pools.set(name, usage);
    },
    recordPoolWait(name: string, seconds: number): void {
      poolWaits.observe({ pool: name }, seconds);
    },
    recordPoolEviction(): void {
      evictions.inc();
    },
    /** Counts a provisioning that ended, `seconds` after it was accepted. */
    recordProvisioning(status: 'success' | 'failed', seconds: number): void {
      provisioned.inc({ status });
      provisioningDuration.observe(seconds);
    },
    graphql: {
      duration: createBatchedHistogram({
        name: 'graphql_operation_duration_seconds',
        help: 'Until the answer is ready; of a subscription, until it streams.',
        labelNames: ['operation_type', 'outcome'],
        buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
        registers,
      }),
      subscriptions: new Gauge({
        name: 'graphql_subscriptions_active',
        help: 'Subscriptions that stream.',
        registers,
      }),
    },
  };
}

/**
 * What `read` answers, or null when it fails or takes too long: an old number would look like a queue that stands still,
 * a missing one like what it is. Whoever asks meanwhile gets the same answer, so that a database that hangs holds one
 * connection and not one per page.
 */
function readingInTime<T>(read: () => Promise<T>): () => Promise<T | null> {
  let reading: Promise<T | null> | null = null;
  return async () => {
    reading ??= withCancellation(AbortSignal.timeout(patience), read)
      .catch(() => null)
      .finally(() => {
        reading = null;
      });
    const late = Promise.withResolvers<null>();
    const timer = setTimeout(late.resolve, patience, null);
    try {
      return await Promise.race([reading, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  };
}
