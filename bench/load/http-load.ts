import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startPeer } from '../peer.ts';
import type { Measured } from './measured.ts';
import { runTool, toolVersion } from './run-tool.ts';

/** Load on `/graphql` by POST, over connections that stay open. */
export interface HttpLoad {
  readonly port: number;
  readonly token: string;
  /**
   * Bodies, JSON without line breaks, asked in turn. `{n}` in them stands for twelve digits that no other request of this
   * run has; all of them have it or none.
   */
  readonly bodies: readonly string[];
  /** Texts that an answer must hold. One without them, or with `"errors"`, is an error. */
  readonly expected: readonly string[];
  /** Whole ones. */
  readonly seconds: number;
  readonly connections: number;
}

/** `wrk`, which costs least, or else autocannon. */
export const httpTool = toolVersion('wrk') === null ? 'autocannon' : 'wrk';

/** Puts load on a server from a process of its own. */
export async function loadHttp(load: HttpLoad): Promise<Measured> {
  const measured = await (httpTool === 'wrk' ? withWrk(load) : withAutocannon(load));
  // Whoever did not answer at all in that time has no rate to speak of.
  return measured.answers === 0 ? { ...measured, errors: measured.errors + 1 } : measured;
}

async function withWrk({ port, token, bodies, expected, seconds, connections }: HttpLoad): Promise<Measured> {
  const directory = await mkdtemp(join(tmpdir(), 'tms-wrk-'));
  try {
    const file = join(directory, 'load');
    await writeFile(file, [token, expected.join('\t'), ...bodies].join('\n'));
    const script = join(import.meta.dirname, 'graphql.lua');
    // One thread: it is far from busy, and the other core belongs to what is measured.
    const options = ['-t1', `-c${connections}`, `-d${seconds}s`, '--timeout=10s', `-s${script}`];
    const printed = await runTool(
      'wrk',
      [...options, `http://127.0.0.1:${port}/graphql`, '--', file],
      seconds,
    );
    const [, answers, microseconds, errors] = /^result (\d+) (\d+) (\d+)$/m.exec(printed) ?? [];
    if (answers === undefined) throw new Error(`wrk answered otherwise than expected: ${printed}`);
    return {
      answers: Number(answers),
      perSecond: Number(answers) / (Number(microseconds) / 1e6),
      errors: Number(errors),
    };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function withAutocannon(task: HttpLoad): Promise<Measured> {
  await using generator = await startPeer<Measured>('foreign/autocannon.ts', task);
  return generator.answer;
}
