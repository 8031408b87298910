import { readdir, readFile } from 'node:fs/promises';

/** The most memory that a process and those below it had so far, MiB; null where there is no /proc. */
export function peakMemory(pid: number): Promise<number | null> {
  return memory(pid, 'VmHWM');
}

/** What they have in memory now, MiB; null where there is no /proc. */
export function residentMemory(pid: number): Promise<number | null> {
  return memory(pid, 'VmRSS');
}

async function memory(pid: number, entry: string): Promise<number | null> {
  const kilobytes = new RegExp(`^${entry}:\\s+(\\d+) kB`, 'm');
  return sumOf(pid, 'status', (status) => Number(kilobytes.exec(status)?.[1]) / 1024);
}

/** CPU time of a process and of those below it, seconds, with a resolution of 10 ms; null where there is no /proc. */
export async function cpuSeconds(pid: number): Promise<number | null> {
  return sumOf(pid, 'stat', (stat) => {
    // User and system time: the 14th and 15th field, counted from behind the name, which may hold spaces.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
  });
}

/** Linux's USER_HZ. */
const ticksPerSecond = 100;

async function sumOf(pid: number, file: string, read: (text: string) => number): Promise<number | null> {
  try {
    const ids = [pid, ...(await childrenOf(pid))];
    const values = await Promise.all(
      ids.map(async (id) => read(await readFile(`/proc/${id}/${file}`, 'utf8'))),
    );
    return values.reduce((sum, value) => sum + value, 0);
  } catch {
    return null;
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const tasks = await readdir(`/proc/${pid}/task`);
  const lists = tasks.map((task) => readFile(`/proc/${pid}/task/${task}/children`, 'utf8'));
  return (await Promise.all(lists)).flatMap((list) => list.split(' ').filter(Boolean).map(Number));
}
