import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { commandLine, identifyProcess, type ProcessIdentity } from './process-identity.ts';

/** A PostgreSQL server that runs on a cluster. */
export interface RunningServer {
  readonly process: ProcessIdentity;
  /** 0 while it has not said so yet. */
  readonly port: number;
  /** By its own word it accepts connections: it neither recovers nor goes down. */
  readonly isReady: boolean;
}

/**
 * The server that runs on this cluster by its `postmaster.pid`, or null. Its lines are those of PostgreSQL's
 * src/include/utils/pidfile.h: pid, data directory, start time, port, socket directory, address, memory key, state.
 * A file that a dead server left names a pid that is gone, or that belongs to something else by now.
 */
export async function findServer(cluster: string): Promise<RunningServer | null> {
  const { pid, port, state } = await readPostmasterFile(cluster);
  const process = await identifyProcess(pid);
  if (process === null || !isPostgresOn(await commandLine(pid), cluster)) return null;
  return { process, port, isReady: state === 'ready' };
}

/**
 * PostgreSQL deals with the file that a dead server left, except when its pid belongs to another process of the same
 * user by now: then it refuses to start. Only such a file is removed, never one of a server that just appears.
 */
export async function removeForeignPostmasterFile(cluster: string): Promise<void> {
  const { pid } = await readPostmasterFile(cluster);
  if (pid === 0 || isPostgresOn(await commandLine(pid), cluster)) return;
  if ((await readPostmasterFile(cluster)).pid === pid) await rm(postmasterFile(cluster), { force: true });
}

async function readPostmasterFile(cluster: string): Promise<{ pid: number; port: number; state: string }> {
  const text = await readFile(postmasterFile(cluster), 'utf8').catch(() => '');
  const [pid, , , port, , , , state = ''] = text.split('\n').map((line) => line.trim());
  return { pid: integer(pid), port: integer(port), state };
}

function postmasterFile(cluster: string): string {
  return join(cluster, 'postmaster.pid');
}

function isPostgresOn(command: string, cluster: string): boolean {
  return /^\S*(postgres|postmaster)\b/.test(command) && ` ${command} `.includes(` ${cluster} `);
}

/** 0 when the line is missing or not whole. In a file that a standalone backend left the pid is negative. */
function integer(line: string | undefined): number {
  return line !== undefined && /^\d+$/.test(line) ? Number(line) : 0;
}
