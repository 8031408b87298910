import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** One process for ever: its pid may be given to another one later, the pair with its start time is not. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque: compare, do not read. */
  readonly start: string;
}

/** The live process with this pid, or null. A zombie counts as gone: nobody may ever reap it in a container. */
export async function identifyProcess(pid: number): Promise<ProcessIdentity | null> {
  const [state, start] = process.platform === 'linux' ? await statOfProc(pid) : await statOfPs(pid);
  return state === undefined || start === undefined || /^[ZX]/.test(state) ? null : { pid, start };
}

/** Whether that very process still runs. */
export async function isRunning(process: ProcessIdentity): Promise<boolean> {
  return (await identifyProcess(process.pid))?.start === process.start;
}

/** Program and arguments of a process with single spaces between; empty when there is none or it may not be read. */
export async function commandLine(pid: number): Promise<string> {
  if (process.platform !== 'linux') return ps(pid, 'command=');
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  return text.replaceAll('\0', ' ').trim();
}

/** State and start time are the 3rd and 22nd field of proc(5) stat; the 2nd, a name in parentheses, may hold spaces. */
async function statOfProc(pid: number): Promise<(string | undefined)[]> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return text === '' ? [] : [fields[0], fields[19]];
}

async function statOfPs(pid: number): Promise<(string | undefined)[]> {
  return [await ps(pid, 'stat='), await ps(pid, 'lstart=')].map((text) => (text === '' ? undefined : text));
}

async function ps(pid: number, field: string): Promise<string> {
  const result = await run('ps', ['-ww', '-o', field, '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return result.stdout.trim();
}
