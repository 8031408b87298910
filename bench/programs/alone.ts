import { tell } from '../told.ts';

/** How long and with how many at once a program does its work without a server around it. */
export interface AloneTask {
  readonly seconds: number;
  readonly callers: number;
}

/** Does some work whenever the parent asks for it, and tells how often per second. `work` gets a number, from 0. */
export function worksAlone(work: (number: number) => Promise<unknown>): void {
  let number = 0;
  process.on('message', async ({ seconds, callers }: AloneTask) => {
    const begin = performance.now();
    const until = begin + 1_000 * seconds;
    let done = 0;
    const call = async () => {
      while (performance.now() < until) {
        await work(number++);
        done += 1;
      }
    };
    await Promise.all(Array.from({ length: callers }, call));
    tell(done / ((performance.now() - begin) / 1_000));
  });
}
