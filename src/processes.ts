import type { Logger } from 'pino';
import { RateLimiterClusterMaster } from 'rate-limiter-flexible';
import type { App } from './app.ts';
import { packConfig } from './config/packed-config.ts';
import type { Config } from './config.ts';
import { openRegistry } from './db/open-registry.ts';
import { authentication, encryptionKeys, warnOfGeneratedKey } from './local-secrets.ts';
import { createMergedMetrics } from './processes/merged-metrics.ts';
import type { Ports } from './processes/messages.ts';
import { createRelay } from './processes/relay.ts';
import { superviseProcesses } from './processes/supervisor.ts';
import { serviceDatabase } from './service-database.ts';

/** The whole service in several processes; disposing it drains them. */
export type Processes = Pick<App, 'httpPort' | 'grpcPort' | 'devTokenFile'> & AsyncDisposable;

/**
 * Starts what there may be only one of (the embedded database, the secrets of the data directory, the registry's
 * migrations) and `config.processes` processes that serve with it, each of them a whole {@link App}.
 * @param onFailure called with a line that says why, when they cannot be kept running
 * @throws as `createApp` does; nothing is left running then
 */
export async function createProcesses(
  config: Config,
  log: Logger,
  onFailure: (error: Error) => void,
): Promise<Processes> {
  await using parts = new AsyncDisposableStack();
  const settings = await serviceDatabase(config, parts, log);
  const { mode, devTokenFile } = await authentication(config);
  const keys = await encryptionKeys(config);
  const { applied } = await openRegistry(settings, keys);
  await warnOfGeneratedKey(config, log);
  if (applied.length > 0) log.info({ applied }, 'the registry was migrated');

  const configOf = (slot: number, ports: Ports | null) =>
    packConfig({
      ...config,
      port: ports?.grpcPort ?? config.port,
      httpPort: ports?.httpPort ?? config.httpPort,
      database: { kind: 'external', settings },
      authentication: mode,
      encryptionKeys: keys,
      workerConcurrency: partOf(config.workerConcurrency, config.processes, slot),
    });

  // Counts for those that serve, which find it by the messages of Node's cluster; where Redis counts nobody asks it.
  if (config.redisUrl === null && config.rateLimit > 0) new RateLimiterClusterMaster();
  const failure = Promise.withResolvers<never>();
  const supervisor = parts.use(
    superviseProcesses({
      count: config.processes,
      configOf,
      onMessage(child, message) {
        switch (message.kind) {
          case 'publish':
            return relay(child, message);
          case 'measured':
            return metrics.receive(child, message);
          case 'page':
            return metrics.answer(child, message);
        }
      },
      onEnd: (child) => metrics.bury(child),
      onFailure(error) {
        failure.reject(error);
        onFailure(error);
      },
      log,
    }),
  );
  const relay = createRelay(supervisor.children);
  const metrics = createMergedMetrics(supervisor.children, log);
  const ports = await Promise.race([supervisor.up, failure.promise]);

  const running = parts.move();
  return {
    ...ports,
    devTokenFile,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** A slot's part of a number that all share; at least one. */
function partOf(whole: number, count: number, slot: number): number {
  return Math.max(1, Math.floor(whole / count) + (slot < whole % count ? 1 : 0));
}
