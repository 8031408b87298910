import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { POSTGRES_ENVIRONMENT } from './embedded-cluster.ts';
import { hasCode } from './error-code.ts';
import type { PostgresAccount } from './postgres-account.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';
import { findServer, type RunningServer, removeForeignPostmasterFile } from './postmaster-file.ts';
import { identifyProcess, isRunning, type ProcessIdentity } from './process-identity.ts';

/** How a server is to run. */
export interface ServerPlan {
  readonly cluster: string;
  readonly logFile: string;
  readonly binaries: PostgresBinaries;
  readonly account: PostgresAccount | null;
  readonly settings: Readonly<Record<string, string>>;
}

const POLL_MS = 20;
const START_WITHIN_MS = 20_000;
/** A recovery that is given up begins again from the same point, so this is only for one that hangs. */
const RECOVER_WITHIN_MS = 300_000;
const STOP_WITHIN_MS = 8_000;
const PORT_ATTEMPTS = 5;

/**
 * Starts PostgreSQL on 127.0.0.1 and a free port, the last one again where that can be, in a process group of its own, so that a Ctrl-C does not reach it, and
 * writing to a file, so that it outlives us when we are killed. One that a killed service left is stopped first.
 * Resolves when it accepts connections.
 * @throws Error in one line with the reason that PostgreSQL gave.
 */
export async function startServer(plan: ServerPlan, log: (message: string) => void): Promise<RunningServer> {
  const deadline = Date.now() + START_WITHIN_MS;
  for (let attempt = 1; ; attempt++) {
    await stopLeftover(plan.cluster, log);
    await removeForeignPostmasterFile(plan.cluster);
    const port = await freePort(attempt === 1 ? await lastPort(plan.cluster) : 0);
    const child = await launch(plan, port);
    const server = await untilReady(plan.cluster, child).catch(async (error: unknown) => {
      await stopServer(child);
      throw error;
    });
    if (server !== null) return server;
    const reason = await reasonIn(plan.logFile);
    const portTaken = /could not create any TCP\/IP sockets/.test(reason) && attempt < PORT_ATTEMPTS;
    // A killed server's own processes notice its death one by one and hold its memory until then; and a server that
    // a service started in the moment before it was killed may have been too young to be found.
    const leftovers =
      /shared memory block .* still in use|"postmaster.pid" already exists/.test(reason) &&
      Date.now() < deadline;
    if (!portTaken && !leftovers) {
      throw new Error(`the embedded PostgreSQL did not start: ${reason} (${plan.logFile})`);
    }
    await pause(POLL_MS);
  }
}

/**
 * Waits until the server accepts connections; null when it ended instead.
 * @throws Error in one line when it takes too long.
 */
export async function untilReady(
  cluster: string,
  postmaster: ProcessIdentity,
): Promise<RunningServer | null> {
  const started = Date.now();
  for (;;) {
    if (!(await isRunning(postmaster))) return null;
    const server = await findServer(cluster);
    const known = server?.process.pid === postmaster.pid ? server : null;
    if (known?.isReady) return known;
    if (Date.now() - started > (known === null ? START_WITHIN_MS : RECOVER_WITHIN_MS)) {
      throw new Error(`the embedded PostgreSQL (process ${postmaster.pid}) is not ready in time`);
    }
    await pause(POLL_MS);
  }
}

/**
 * Stops a server and waits until it is gone: first with its sessions rolled back and everything written, and if that
 * takes long at once, which the next start recovers from.
 * @throws Error in one line when it does not go or is not ours to stop.
 */
export async function stopServer(postmaster: ProcessIdentity): Promise<void> {
  for (const signal of ['SIGINT', 'SIGQUIT', 'SIGKILL'] as const) {
    if (!(await isRunning(postmaster))) return;
    signalProcess(postmaster.pid, signal);
    const deadline = Date.now() + STOP_WITHIN_MS;
    while (Date.now() < deadline) {
      if (!(await isRunning(postmaster))) return;
      await pause(POLL_MS);
    }
  }
  throw new Error(`the embedded PostgreSQL (process ${postmaster.pid}) does not stop`);
}

/**
 * A server that survived its service may still be at work on what that had asked for, and hold its locks: it is not
 * joined, it is stopped, which rolls that back.
 */
async function stopLeftover(cluster: string, log: (message: string) => void): Promise<void> {
  const left = await findServer(cluster);
  if (left === null) return;
  log(`stopping the embedded PostgreSQL (process ${left.process.pid}) that a killed service left running`);
  await stopServer(left.process);
}

function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (hasCode(error, 'ESRCH')) return;
    throw new Error(`the embedded PostgreSQL (process ${pid}) belongs to another user: stop it yourself`);
  }
}

async function launch(plan: ServerPlan, port: number): Promise<ProcessIdentity> {
  // Emptied at each start, which bounds it.
  await using log = await open(plan.logFile, 'w', 0o600);
  const child = spawn(plan.binaries.postgres, serverArguments(plan, port), {
    ...plan.account,
    cwd: '/',
    env: POSTGRES_ENVIRONMENT,
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  });
  child.unref();
  await once(child, 'spawn');
  const pid = child.pid ?? 0;
  return (await identifyProcess(pid)) ?? { pid, start: 'ended' };
}

function serverArguments(plan: ServerPlan, port: number): string[] {
  const settings = {
    listen_addresses: '127.0.0.1',
    port: String(port),
    unix_socket_directories: '',
    max_connections: '200',
    // A failed statement is not repeated in the log: it may be one that sets a password.
    log_min_error_statement: 'panic',
    ...plan.settings,
  };
  return [
    '-D',
    plan.cluster,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

/** What was handed out to reach the database (a lease, a saved session) should do so after a restart too; 0: none. */
async function lastPort(cluster: string): Promise<number> {
  const options = await readFile(join(cluster, 'postmaster.opts'), 'utf8').catch(() => '');
  return Number(/"port=(\d+)"/.exec(options)?.[1] ?? 0);
}

/** The preferred port, or any when that is taken; another process may still be faster than PostgreSQL. */
async function freePort(preferred: number): Promise<number> {
  const server = createServer().listen(preferred, '127.0.0.1');
  try {
    await once(server, 'listening');
  } catch (error) {
    if (preferred === 0) throw error;
    return freePort(0);
  }
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no free port on 127.0.0.1');
  return address.port;
}

/** The last fatal line of the log with its detail, else the last line, without its time stamp. */
async function reasonIn(logFile: string): Promise<string> {
  const lines = (await readFile(logFile, 'utf8'))
    .trim()
    .split('\n')
    .map((line) => line.replace(/^\S+ \S+ \S+ \[\d+\] /, '').trim());
  // The sessions of a server that was killed notice it one by one, and say so in the same file.
  const fatal = lines.findLastIndex(
    (line) => /^(FATAL|PANIC):/.test(line) && !line.includes('unexpected postmaster exit'),
  );
  if (fatal === -1) return lines.at(-1) ?? '';
  return lines
    .slice(fatal, fatal + 3)
    .filter((line, index) => index === 0 || /^(DETAIL|HINT):/.test(line))
    .join(' ');
}
