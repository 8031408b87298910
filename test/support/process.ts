import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll } from 'vitest';
import type { DatabaseSettings } from '../../src/db/database-settings.ts';
import { stopServer } from '../../src/db/embedded-server.ts';
import { findServer } from '../../src/db/postmaster-file.ts';
import { eventually } from './eventually.ts';

const run = promisify(execFile);

export const projectRoot = join(import.meta.dirname, '../..');
/** Generous: two cores run several starts at once. */
const readyWithinMs = 60_000;

const programs = join(projectRoot, 'node_modules/.bin');

/** The project's own Node, which npm's scripts find first. */
export const nodeProgram = join(programs, 'node');

/** The whole environment of a child: nothing of the test runner's. */
export const bareEnvironment = {
  PATH: `${programs}:${process.env.PATH ?? '/usr/bin:/bin'}`,
  HOME: process.env.HOME ?? '/',
  LANG: 'C.UTF-8',
  // Whoever has made certificates for development has them where the service looks.
  TMS_TLS_CERT: 'none',
};

// A test that runs out of time never comes to the end of its `await using`: what it left is ended after its file.
const open = new Set<AsyncDisposable>();
afterAll(async () => {
  for (const left of [...open].reverse()) await left[Symbol.asyncDispose]();
});

export interface ProcessOptions {
  readonly dataDir: string;
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /**
   * Program and arguments before the service's; else Node with `src/main.ts` and the data directory. Such a command finds
   * the data directory in its environment.
   */
  readonly command?: readonly string[];
}

export interface ServiceProcess extends AsyncDisposable {
  readonly pid: number;
  /** What was written to standard output so far. */
  stdout(): string;
  stderr(): string;
  /** How it ended. */
  readonly end: Promise<ProcessEnd>;
  /** The first entry of the log with this message. */
  logged(message: string): Promise<Record<string, unknown>>;
  /** As if typed. */
  type(text: string): void;
  /** To the process alone. */
  signal(signal: NodeJS.Signals): void;
  /** To it and everything it started in its process group; the embedded PostgreSQL has one of its own. */
  signalGroup(signal: NodeJS.Signals): void;
}

export interface ProcessEnd {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunningService extends ServiceProcess {
  readonly httpUrl: string;
  /** `host:port`; the port is null with `--role worker`. */
  readonly grpcAddress: string;
}

/** Starts the real process in a process group of its own. Disposing it kills that, and the PostgreSQL of its data directory. */
export function spawnService(options: ProcessOptions): ServiceProcess {
  const {
    dataDir,
    command = [nodeProgram, 'src/main.ts', `--data-dir=${dataDir}`],
    args = [],
    env,
  } = options;
  const [program = '', ...first] = command;
  const child = spawn(program, [...first, ...args], {
    cwd: projectRoot,
    detached: true,
    env: { ...bareEnvironment, TMS_DATA_DIR: dataDir, ...env },
  });
  const { pid } = child;
  if (pid === undefined) throw new Error(`${program} cannot be started`);
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      output[name] += text;
    });
  }
  const end = once(child, 'close').then(
    (): ProcessEnd => ({ code: child.exitCode, signal: child.signalCode, ...output }),
  );
  const signalGroup = (signal: NodeJS.Signals) => kill(-pid, signal);

  async function logged(message: string): Promise<Record<string, unknown>> {
    const found = () => entries(output.stdout).find(({ msg }) => msg === message);
    const late = AbortSignal.timeout(readyWithinMs);
    const ended = end.then(() => true);
    for (;;) {
      const entry = found();
      if (entry !== undefined) return entry;
      const more = once(child.stdout, 'data', { signal: late }).then(() => false);
      const over = await Promise.race([more, ended]).catch(() => true);
      if (over && found() === undefined) {
        throw new Error(`no "${message}" from the process: ${output.stdout}${output.stderr}`);
      }
    }
  }

  const service: ServiceProcess = {
    pid,
    stdout: () => output.stdout,
    stderr: () => output.stderr,
    end,
    logged,
    type: (text) => void child.stdin.write(text),
    signal: (signal) => kill(pid, signal),
    signalGroup,
    async [Symbol.asyncDispose]() {
      signalGroup('SIGKILL');
      await end;
      open.delete(service);
      await endDatabase(dataDir);
    },
  };
  open.add(service);
  end.then(() => open.delete(service));
  return service;
}

/** Starts the service, on free ports unless the arguments say otherwise, and waits until it is ready. */
export async function startService(options: ProcessOptions): Promise<RunningService> {
  const args = ['--port=0', '--http-port=0', ...(options.args ?? [])];
  const service = spawnService({ ...options, args: options.command ? (options.args ?? []) : args });
  try {
    const { http, grpc } = await service.logged('ready');
    return { ...service, httpUrl: `http://127.0.0.1:${http}`, grpcAddress: `127.0.0.1:${grpc}` };
  } catch (error) {
    await service[Symbol.asyncDispose]();
    throw error;
  }
}

/** Runs the process to its end, in a data directory of its own that must then be free of processes. */
export async function runToEnd(options: Partial<ProcessOptions>): Promise<ProcessEnd> {
  await using directory = await createDirectory();
  const { path: dataDir } = directory;
  await using service = spawnService({ dataDir, ...options });
  const end = await service.end;
  const left = await processesOn(options.dataDir ?? dataDir);
  if (options.dataDir === undefined && left.length > 0) throw new Error(`left running: ${left.join('; ')}`);
  return end;
}

export interface Directory extends AsyncDisposable {
  readonly path: string;
}

/** A temporary directory that PostgreSQL's user may enter; it goes with what runs on it. */
export async function createDirectory(): Promise<Directory> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'tms-process-')));
  await chmod(path, 0o711);
  const directory: Directory = {
    path,
    async [Symbol.asyncDispose]() {
      open.delete(directory);
      await endDatabase(path);
      await endAll(path);
      await rm(path, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  open.add(directory);
  return directory;
}

/** The command lines of all processes that name this directory. */
export async function processesOn(dataDir: string): Promise<string[]> {
  return (await listed(dataDir)).map(({ command }) => command);
}

/** The admin token that a start without authentication settings leaves. */
export async function devToken(dataDir: string): Promise<string> {
  return (await readFile(join(dataDir, 'dev-token'), 'utf8')).trim();
}

/** The arguments that name an external database. */
export function databaseArguments({ host, port, user, password, database }: DatabaseSettings): string[] {
  return [
    `--db-host=${host}`,
    `--db-port=${port}`,
    `--db-user=${user}`,
    `--db-pass=${password}`,
    `--db-name=${database}`,
  ];
}

/** The entries of the log; what is no entry is left out. */
export function entries(output: string): Record<string, unknown>[] {
  return output
    .split('\n')
    .slice(0, -1) // the last one may not be whole yet
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line));
}

/** Ends whatever PostgreSQL runs in a data directory, initdb too. */
async function endDatabase(dataDir: string): Promise<void> {
  const cluster = join(dataDir, 'postgres');
  const server = existsSync(dataDir) ? await findServer(cluster) : null;
  if (server !== null) await stopServer(server.process);
  await endAll(cluster);
}

/** Kills the processes that name this path, until there is none. */
async function endAll(path: string): Promise<void> {
  await eventually(async () => {
    const left = await listed(path);
    for (const { pid } of left) kill(pid, 'SIGKILL');
    return left.length === 0;
  }, 20_000);
}

async function listed(path: string): Promise<{ pid: number; command: string }[]> {
  const { stdout } = await run('ps', ['-A', '-ww', '-o', 'pid=', '-o', 'command=']);
  return stdout
    .split('\n')
    .map((line) => /^\s*(\d+) (.*)$/.exec(line))
    .filter((match) => match?.[2]?.includes(path) === true)
    .map((match) => ({ pid: Number(match?.[1]), command: match?.[2] ?? '' }));
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
