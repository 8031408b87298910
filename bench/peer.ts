import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { startOf } from './ending.ts';

const startWithinMs = 30_000;

/** A program of `programs` or `foreign` in a process of its own; disposing it ends it. */
export interface Peer extends AsyncDisposable {
  readonly pid: number;
  /** Sends it a question, and waits for its answer, whose shape is the program's. */
  ask<Answer>(question: number | object): Promise<Answer>;
}

/** With what it said when it was ready. */
export interface ReadyPeer<Answer> extends Peer {
  readonly answer: Answer;
}

/** A peer that listens. */
export interface ServingPeer extends Peer {
  readonly port: number;
}

/**
 * Starts a program and tells it what to do.
 * @param program its path below `bench`
 * @param task what {@link told} answers there; it travels as JSON
 * @throws when it ends before it is ready
 */
export function startPeer<Answer = string>(program: string, task: object): Promise<ReadyPeer<Answer>> {
  return startOf(async (parts) => {
    const child = fork(join(import.meta.dirname, program), {
      // What servers of Node look at to leave out what is for development.
      env: { ...process.env, NODE_ENV: 'production', GRAPHILE_ENV: 'production' },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    const exited = once(child, 'exit');
    parts.defer(async () => {
      child.kill('SIGKILL');
      await exited;
    });
    const nextAnswer = async <Said>() => {
      const ended = exited.then(([code, signal]): never => {
        throw new Error(`${program} ended without an answer: ${signal ?? `exit code ${code}`}`);
      });
      const [answer]: Said[] = await Promise.race([once(child, 'message'), ended]);
      if (answer === undefined) throw new Error(`${program} said nothing`);
      return answer;
    };
    const stuck = setTimeout(() => child.kill('SIGKILL'), startWithinMs);
    child.send(task);
    const answer = await nextAnswer<Answer>();
    clearTimeout(stuck);
    return {
      pid: child.pid ?? 0,
      answer,
      ask<Said>(question: number | object) {
        child.send(question);
        return nextAnswer<Said>();
      },
    };
  });
}

/** As {@link startPeer}, for a program that says its port. */
export async function startServingPeer(program: string, task: object): Promise<ServingPeer> {
  const peer = await startPeer<number>(program, task);
  return { ...peer, port: peer.answer };
}
