import { createApp } from './app.ts';
import { lineOf, runCommand } from './command.ts';
import { unpackConfig } from './config/packed-config.ts';
import { createLog } from './log.ts';
import { joinFirstProcess } from './processes/siblings.ts';
import { usualTimings } from './timings.ts';
import { settleV8 } from './v8-settings.ts';

// One of several processes that serve. src/processes.ts starts it; nobody else does.

// A Ctrl-C, and who ends a whole group, reach this process too: when it ends is for the first one to say.
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => {});

settleV8();
await runCommand(async () => {
  const first = joinFirstProcess();
  const config = unpackConfig(await first.config);
  const log = createLog(config.logLevel).child({ pid: process.pid });
  await using parts = new AsyncDisposableStack();
  try {
    const app = parts.use(await createApp(config, log, usualTimings, first.siblings));
    first.ready(app);
  } catch (error) {
    // The first process says it.
    await first.refuse(lineOf(error));
    return 2;
  }
  await first.drain;
  return 0;
});
