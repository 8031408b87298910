import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Measured } from './measured.ts';
import { runTool } from './run-tool.ts';

/** The same POST again and again, by `h2load`, which costs least of all. */
export interface H2Load {
  readonly port: number;
  readonly path: string;
  readonly version: 'HTTP/1.1' | 'HTTP/2';
  /** As `name: value`. */
  readonly headers: readonly string[];
  readonly body: Uint8Array;
  /** How long the body of the right answer is, bytes. */
  readonly answerLength: number;
  /** All together, over `connections` with `streams` at once each. */
  readonly requests: number;
  readonly connections: number;
  readonly streams: number;
}

const longestSeconds = 120;

/** Makes so many requests. h2load looks at no answer, but adds up their bytes: what is missing there is an error. */
export async function loadByH2load(load: H2Load): Promise<Measured> {
  const { port, path, version, headers, body, answerLength, requests, connections, streams } = load;
  const directory = await mkdtemp(join(tmpdir(), 'tms-h2load-'));
  try {
    const file = join(directory, 'body');
    await writeFile(file, body);
    const printed = await runTool(
      'h2load',
      [
        ...['-t1', `-n${requests}`, `-c${connections}`, `-m${streams}`, `-d${file}`],
        ...(version === 'HTTP/1.1' ? ['--h1'] : []),
        ...headers.map((header) => `-H${header}`),
        `http://127.0.0.1:${port}${path}`,
      ],
      longestSeconds,
    );
    const perSecond = Number(/^finished in .*?, ([\d.]+) req\/s/m.exec(printed)?.[1]);
    const succeeded = Number(/^requests: .*?(\d+) succeeded/m.exec(printed)?.[1]);
    const bytes = Number(/\((\d+)\) data$/m.exec(printed)?.[1]);
    if (Number.isNaN(perSecond + succeeded + bytes))
      throw new Error(`h2load answered otherwise than expected: ${printed}`);
    const answers = bytes === requests * answerLength ? succeeded : 0;
    return { answers, errors: requests - answers, perSecond: (perSecond * answers) / requests };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
