import cluster from 'node:cluster';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { PackedConfig } from '../config/packed-config.ts';
import { closeForgottenConnections } from './forgotten-connections.ts';
import { type FromChild, isMarked, marked, type Ports, type ToChild } from './messages.ts';

/** One of the processes that serve. */
export interface Child {
  readonly pid: number | undefined;
  /** Null as long as it starts. */
  readonly ports: Ports | null;
  /**
   * Sends, in order; to one that has ended nothing, which is no error.
   * @param onWritten called when the message has left this process, or never will
   * @returns false when much waits to be sent: the message does, too
   */
  send(message: ToChild, onWritten?: () => void): boolean;
}

export interface SupervisorOptions {
  /** How many are to run. */
  readonly count: number;
  /** What the one in a slot, 0 to `count` - 1, begins with; the ports are set when they must be these. */
  readonly configOf: (slot: number, ports: Ports | null) => PackedConfig;
  /** What they say beside how they are. */
  readonly onMessage: (child: Child, message: Exclude<FromChild, { kind: 'ready' | 'refused' }>) => void;
  /** Called when one has ended, for whatever reason. */
  readonly onEnd: (child: Child) => void;
  /** Called when they cannot be kept running, with a line that says why. */
  readonly onFailure: (error: Error) => void;
  readonly log: Pick<Logger, 'error' | 'info'>;
}

/** Disposing it lets all processes drain, and waits until the last one is gone. */
export interface Supervisor extends AsyncDisposable {
  readonly children: ReadonlySet<Child>;
  /** Resolves when all are ready for the first time. */
  readonly up: Promise<Ports>;
}

/** So many starts in a row may come to nothing before it is given up. */
const startsInVain = 5;
/** The wait behind the first death of a row; it doubles with each further one. */
const firstDelayMs = 500;
const longestDelayMs = 10_000;
/** Who has lived so long did not die of its start: the next death begins another row. */
const settledMs = 60_000;

/** Keeps processes running: starts them, replaces those that die, and takes them down. */
export function superviseProcesses(options: SupervisorOptions): Supervisor {
  const { count, configOf, onMessage, onEnd, onFailure, log } = options;
  const children = new Set<Child>();
  const up = Promise.withResolvers<Ports>();
  const gone = Promise.withResolvers<void>();
  const delays = new Set<NodeJS.Timeout>();
  let ports: Ports | null = null;
  let fixedPorts: Ports | null = null;
  let everUp = false;
  let draining = false;
  let inVain = 0;
  let deathsInARow = 0;

  cluster.setupPrimary({
    exec: join(import.meta.dirname, '../child.ts'),
    args: [],
    serialization: 'advanced',
  });
  // However this process ends, none of the others stays.
  process.on('exit', () => {
    for (const worker of Object.values(cluster.workers ?? {})) worker?.process.kill('SIGKILL');
  });

  function start(slot: number): void {
    // Port 0 is one and the same as long as somebody listens there; when nobody does, its number has to be given.
    if (children.size === 0) fixedPorts = ports;
    const worker = cluster.fork();
    closeForgottenConnections(worker);
    const started = performance.now();
    let childPorts: Ports | null = null;
    let refusal: string | null = null;
    const child: Child = {
      pid: worker.process.pid,
      get ports() {
        return childPorts;
      },
      send: (message, onWritten = () => {}) => worker.send(marked(message), onWritten),
    };
    children.add(child);
    worker.on('error', () => {}); // its end says all
    worker.on('message', (sent: unknown) => {
      if (!isMarked<FromChild>(sent)) return;
      const { message } = sent;
      if (message.kind === 'refused') refusal = message.reason;
      else if (message.kind === 'ready') {
        childPorts = { httpPort: message.httpPort, grpcPort: message.grpcPort };
        becameReady(child, childPorts);
      } else onMessage(child, message);
    });
    worker.once('exit', (code: number | null, signal: string | null) => {
      children.delete(child);
      onEnd(child);
      const settled = childPorts !== null && performance.now() - started >= settledMs;
      ended(slot, child, { code, signal, refusal, settled });
    });
    child.send({ kind: 'serve', config: configOf(slot, fixedPorts) });
  }

  function becameReady({ pid }: Child, at: Ports): void {
    ports = at;
    inVain = 0;
    if (everUp) log.info({ pid }, 'a process has taken the place of the one that died');
    else if (children.size === count && [...children].every((child) => child.ports !== null)) {
      everUp = true;
      up.resolve(at);
    }
  }

  function ended(
    slot: number,
    { pid, ports: hadPorts }: Child,
    end: { code: number | null; signal: string | null; refusal: string | null; settled: boolean },
  ): void {
    const { code, signal, refusal, settled } = end;
    if (draining) {
      if (code !== 0) log.error({ pid, code, signal }, 'a process died before it had drained');
      if (children.size === 0) gone.resolve();
      return;
    }
    const reason = refusal ?? `it ended with ${signal ?? `exit code ${code}`}`;
    log.error({ pid, reason }, 'a process died');
    if (hadPorts === null) inVain += 1;
    deathsInARow = settled ? 0 : deathsInARow + 1;
    // What keeps the very first start from succeeding is said at once, as by a process that is alone.
    if (!everUp && refusal !== null) onFailure(new Error(refusal));
    else if (inVain < startsInVain) startLater(slot);
    else onFailure(new Error(`--processes: a process does not come up, ${inVain} times in a row: ${reason}`));
  }

  function startLater(slot: number): void {
    const delayMs = deathsInARow === 0 ? 0 : firstDelayMs * 2 ** (deathsInARow - 1);
    const delay = setTimeout(
      () => {
        delays.delete(delay);
        start(slot);
      },
      Math.min(delayMs, longestDelayMs),
    );
    delays.add(delay);
  }

  for (let slot = 0; slot < count; slot++) start(slot);
  return {
    children,
    up: up.promise,
    async [Symbol.asyncDispose]() {
      draining = true;
      for (const delay of delays) clearTimeout(delay);
      for (const child of children) child.send({ kind: 'drain' });
      if (children.size > 0) await gone.promise;
    },
  };
}
