import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { cpus, loadavg, totalmem } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..');

/** What the figures belong to: machine, versions, state of the project. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  /** Processes that wanted to run in the minute before, on average: what else the machine had to do. */
  readonly load: number;
  readonly system: string;
  readonly node: string;
  readonly pg: string;
  readonly commit: string;
  readonly date: string;
}

/** Asked before anything is measured. */
export async function describeMachine(): Promise<Machine> {
  const [load = 0] = loadavg();
  return {
    cpu: cpus()[0]?.model ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    load,
    system: `${process.platform} ${process.arch}`,
    node: process.version,
    pg: JSON.parse(await readFile(join(import.meta.dirname, 'node_modules/pg/package.json'), 'utf8')).version,
    commit: await commit(),
    date: new Date().toISOString().slice(0, 10),
  };
}

async function commit(): Promise<string> {
  try {
    const git = async (...options: string[]) => (await run('git', options, { cwd: root })).stdout.trim();
    const changed = await git('status', '--porcelain', '--', 'src', 'prisma', 'package-lock.json');
    return `${await git('rev-parse', '--short', 'HEAD')}${changed === '' ? '' : ', with changes'}`;
  } catch {
    return 'unknown';
  }
}
