import type pg from 'pg';
import type { Logger } from 'pino';
import type { Config } from './config.ts';
import type { LeaseStore } from './core/ports.ts';
import type { TenantCache } from './core/tenant-cache.ts';
import type { DatabaseSettings } from './db/database-settings.ts';
import type { KeyRing } from './db/key-ring.ts';
import { createOperationJournal } from './db/operation-journal.ts';
import { sqlSession, withOwnSession } from './db/sql-session.ts';
import { operationTask } from './db/start-operation.ts';
import { createTenantCredentials } from './db/tenant-credentials.ts';
import type { Feed } from './events/feed.ts';
import type { Metrics } from './http/metrics.ts';
import { withTenantSession } from './pools/tenant-session.ts';
import type { Timings } from './timings.ts';
import { readLedger } from './workers/migration-ledger.ts';
import { createRoleAdmins } from './workers/role-admins.ts';
import { createOperationRunner } from './workers/run-operation.ts';
import { createStepContexts } from './workers/step-context.ts';
import { createStepRunner } from './workers/step-runner.ts';
import { readTenantMigrations } from './workers/tenant-migrations.ts';
import { startWorker, type Worker } from './workers/worker.ts';

export interface OperationWorkerOptions {
  readonly config: Pick<Config, 'tenantMigrations' | 'workerConcurrency'>;
  readonly settings: DatabaseSettings;
  readonly pool: pg.Pool;
  readonly registryId: string;
  readonly keyRing: KeyRing;
  readonly leases: LeaseStore;
  readonly feed: Feed;
  readonly cache: Pick<TenantCache, 'outdate'>;
  readonly metrics: Pick<Metrics, 'recordProvisioning'>;
  readonly timings: Timings;
  readonly log: Logger;
}

/**
 * Builds and starts the worker of a process.
 * @throws in one line when the tenant migrations cannot be used
 */
export async function startOperationWorker(options: OperationWorkerOptions): Promise<Worker> {
  const { config, settings, pool, registryId, keyRing, leases, feed, cache, metrics, timings, log } = options;
  const migrations = await readTenantMigrations(config.tenantMigrations, await readLedger(sqlSession(pool)));
  const journal = createOperationJournal({ pool, leaseMs: timings.leaseMs, cache });
  return startWorker({
    pool,
    journal,
    leases,
    operationTask,
    runOperation: createOperationRunner({
      journal,
      feed,
      stepRunner: createStepRunner({
        journal,
        contexts: createStepContexts({
          registryId,
          migrations,
          roleAdmins: createRoleAdmins({
            registryId,
            beside: (work) =>
              void withOwnSession(pool, work).catch((error) =>
                log.warn({ err: error }, 'roles could not be made ahead of need; that is tried again'),
              ),
          }),
          password: createTenantCredentials(keyRing),
          login: (user, password, work) => withTenantSession(settings, user, password, work),
        }),
        migrations,
        session: (work) => withOwnSession(pool, work),
        limitMs: timings.stepLimitMs,
      }),
      renewIntervalMs: timings.leaseMs / 3,
      firstRetryMs: timings.firstRetryMs,
      onEnd: ({ kind, state, seconds }) => {
        // A provisioning that was called off neither succeeded nor failed.
        if (kind === 'PROVISION' && state !== 'CANCELLED')
          metrics.recordProvisioning(state === 'SUCCEEDED' ? 'success' : 'failed', seconds);
      },
      log,
    }),
    concurrency: config.workerConcurrency,
    sweepIntervalMs: timings.sweepIntervalMs,
    log,
  });
}
