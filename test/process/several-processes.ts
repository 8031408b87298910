import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, readlink } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { promisify } from 'node:util';
import { identifyProcess } from '../../src/db/process-identity.ts';
import { eventually } from '../support/eventually.ts';

const run = promisify(execFile);

/** Where /proc says who holds which connection; elsewhere these tests are skipped. */
export const procMissing: string | null =
  process.platform === 'linux'
    ? null
    : 'skipped, there is no /proc that says which process holds a connection';

/** The processes that a service has started to serve, as it gives them their numbers. */
export async function childrenOf(pid: number): Promise<number[]> {
  const { stdout } = await run('ps', ['-A', '-ww', '-o', 'pid=', '-o', 'ppid=', '-o', 'command=']);
  return stdout
    .split('\n')
    .map((line) => /^\s*(\d+)\s+(\d+) (.*)$/.exec(line))
    .filter((match) => Number(match?.[2]) === pid && match?.[3]?.includes('src/child.ts') === true)
    .map((match) => Number(match?.[1]));
}

/** Waits until none of these processes is there. */
export async function untilGone(pids: readonly number[], deadlineMs: number): Promise<void> {
  await eventually(async () => {
    const left = await Promise.all(pids.map(identifyProcess));
    return left.every((process) => process === null);
  }, deadlineMs);
}

/** How many of the connections to a local port each of these processes has. */
export async function connectionsTo(port: number, pids: readonly number[]): Promise<number[]> {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n').map((line) => line.trim().split(/\s+/));
  const established = lines.filter(([, address, , state]) => address?.endsWith(local) && state === '01');
  const sockets = new Set(established.map((fields) => `socket:[${fields[9]}]`));
  return Promise.all(
    pids.map(async (pid) => (await openFiles(pid)).filter((file) => sockets.has(file)).length),
  );
}

async function openFiles(pid: number): Promise<string[]> {
  const directory = `/proc/${pid}/fd`;
  const files = await readdir(directory);
  return Promise.all(files.map((file) => readlink(`${directory}/${file}`).catch(() => '')));
}

/** Connections that say nothing. */
export async function openConnections(port: number, count: number): Promise<Disposable> {
  const sockets: Socket[] = [];
  for (let opened = 0; opened < count; opened++) {
    const socket = connect(port, '127.0.0.1').on('error', () => {});
    await once(socket, 'connect');
    sockets.push(socket);
  }
  return {
    [Symbol.dispose]() {
      for (const socket of sockets) socket.destroy();
    },
  };
}
