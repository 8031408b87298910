import { randomBytes } from 'node:crypto';
import { type CoreApp, editor, newTenant, startCore } from '../core/core-app.ts';
import { createTestDatabase } from '../support/database.ts';
import { createDirectory, databaseArguments, type ServiceProcess, spawnService } from '../support/process.ts';
import { connect, type Session, settled } from '../workers/worker-app.ts';
import { projectMigrations } from './expect-sound.ts';

/** A registry on which this process accepts, and workers in processes of their own do, which may be killed. */
export interface FaultBed extends CoreApp {
  /** The superuser. */
  readonly administrator: Session;
  /** An active tenant that nothing happens to. The first one of a registry holds others up, which is no fault of theirs. */
  readonly bystander: string;
  /** A worker that runs as many operations at once, from its first moment on. */
  spawnWorker(concurrency: number): ServiceProcess;
  /** The same, when it is ready. */
  startWorker(concurrency: number): Promise<ServiceProcess>;
  /** Does `work` while this process works too. */
  whileWorking<T>(work: (app: CoreApp) => Promise<T>): Promise<T>;
}

/**
 * A database of its own, with nothing in it but the bystander.
 * @param tenantMigrations a directory of them
 */
export async function createFaultBed(tenantMigrations = projectMigrations): Promise<FaultBed> {
  await using stack = new AsyncDisposableStack();
  const database = stack.use(await createTestDatabase());
  const administrator = stack.use(await connect(database.administrator));
  const directory = stack.use(await createDirectory());
  const key = randomBytes(32);
  const config = { encryptionKeys: [{ id: 'faults', key }], tenantMigrations };
  // A watcher here hears of what other processes do by reading again.
  const timings = { rereadIntervalMs: 1_000 };
  const accepting = stack.use(await startCore({ database, worker: false, config, timings }));

  const spawnWorker = (concurrency: number) =>
    spawnService({
      dataDir: directory.path,
      args: [
        '--role=worker',
        '--http-port=0',
        `--worker-concurrency=${concurrency}`,
        `--tenant-migrations=${tenantMigrations}`,
        ...databaseArguments(database.settings),
      ],
      env: { TMS_ENCRYPTION_KEYS: `faults:${key.toString('base64')}` },
    });
  async function startWorker(concurrency: number): Promise<ServiceProcess> {
    const worker = spawnWorker(concurrency);
    await worker.logged('ready');
    return worker;
  }
  async function whileWorking<T>(work: (app: CoreApp) => Promise<T>): Promise<T> {
    await using app = await startCore({ database, config });
    return await work(app);
  }

  const bystander = await accept(accepting);
  await whileWorking((app) => settled(app, bystander));
  const running = stack.move();
  return {
    ...accepting,
    administrator,
    bystander,
    spawnWorker,
    startWorker,
    whileWorking,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Accepts a new tenant. @returns its id */
export async function accept({ core }: Pick<CoreApp, 'core'>): Promise<string> {
  return (await core.tenants.create(editor, newTenant())).tenant.id;
}

/** Cancels the tenant's newest operation. */
export async function cancelNewest({ core }: Pick<CoreApp, 'core'>, tenantId: string): Promise<void> {
  const { operationId } = await core.tenants.get(tenantId, 'INCLUDE');
  await core.operations.cancel(editor, operationId ?? '');
}
