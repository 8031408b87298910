import { createApp } from './app.ts';
import { banner } from './banner.ts';
import { runCommand } from './command.ts';
import { type Invocation, readInvocation } from './config.ts';
import { createLog } from './log.ts';
import { createProcesses } from './processes.ts';
import { settleV8 } from './v8-settings.ts';

/** A Ctrl-C reaches the process twice, from the terminal and from npm: only a later one means "now". */
const secondSignalMs = 1_000;
/** A start or a drain that is not over this long after the first signal never will be. */
const stuckMs = 30_000;

settleV8();
await runCommand(async () => {
  const invocation = readInvocation(process.argv.slice(2), process.env);
  if (invocation.kind === 'serve') await serve(invocation);
  else process.stdout.write(`${invocation.text}\n`);
});

async function serve({ config, warnings }: Extract<Invocation, { kind: 'serve' }>): Promise<void> {
  const log = createLog(config.logLevel);
  for (const warning of warnings) log.warn(warning);
  const stop = stopSignal();
  const failure = Promise.withResolvers<never>();
  failure.promise.catch(() => {}); // it may come before anybody waits for it
  await using service =
    config.processes === 1
      ? await createApp(config, log)
      : await createProcesses(config, log, failure.reject);
  log.info({ http: service.httpPort, grpc: service.grpcPort, role: config.role }, 'ready');
  if (process.stdout.isTTY) process.stdout.write(await banner(config, service));
  log.info({ signal: await Promise.race([stop, failure.promise]) }, 'draining');
}

/** The first SIGTERM or SIGINT. Another one, a second or more later, ends the process at once. */
function stopSignal(): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    let first: number | null = null;
    for (const signal of ['SIGTERM', 'SIGINT'] as const) {
      process.on(signal, () => {
        if (first === null) setTimeout(() => process.exit(1), stuckMs).unref();
        first ??= Date.now();
        resolve(signal);
        if (Date.now() - first >= secondSignalMs) process.exit(1);
      });
    }
  });
}
