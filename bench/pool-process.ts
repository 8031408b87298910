import { once } from 'node:events';
import { type ContenderName, type ContenderOptions, starts } from './pool-contenders.ts';
import { type LoadName, type Measured, runLoad } from './pool-load.ts';

// A contender in a process of its own: told what to do by its parent, it measures, answers, and waits until the parent
// has looked at the connections that it still has.

export interface PoolTask {
  readonly contender: ContenderName;
  readonly load: LoadName;
  readonly callers: number;
  readonly seconds: number;
  /** Keys as base64: they travel as JSON. */
  readonly options: Omit<ContenderOptions, 'keys'> & {
    readonly keys: readonly { readonly id: string; readonly key: string }[];
  };
}

export interface PoolAnswer extends Measured {
  /** The most that this process had in memory, MiB. */
  readonly rss: number;
}

if (process.send !== undefined) {
  // Whoever started this is gone.
  process.once('disconnect', () => process.exit(1));
  const [task]: PoolTask[] = await once(process, 'message');
  if (task !== undefined) await work(task);
  process.disconnect();
}

async function work({ contender: name, load, callers, seconds, options }: PoolTask): Promise<void> {
  const keys = options.keys.map(({ id, key }) => ({ id, key: new Uint8Array(Buffer.from(key, 'base64')) }));
  const { tenantIds, budget } = options;
  await using contender = await starts[name]({ ...options, keys });
  const measured = await runLoad({ contender, load, tenantIds, budget, callers, seconds });
  const answer: PoolAnswer = { ...measured, rss: process.resourceUsage().maxRSS / 1024 };
  process.send?.(answer);
  await once(process, 'message');
  process.removeAllListeners('disconnect');
}
