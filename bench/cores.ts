import { execFileSync } from 'node:child_process';
import { cpus } from 'node:os';

/**
 * Keeps a process with all of its threads, and those that it starts from now on, on the first cores of the machine.
 * @throws where there is no `taskset` (util-linux), or the machine has fewer
 */
export function keepOnCores(pid: number, cores: number): void {
  if (cpus().length < cores) throw new Error(`this needs ${cores} cores`);
  execFileSync('taskset', ['-a', '-p', '-c', `0-${cores - 1}`, String(pid)], { stdio: 'ignore' });
}
