import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Measured } from './measured.ts';
import { runTool, toolVersion } from './run-tool.ts';

/** Unary calls by `h2load`: a client of grpc-js would be slower than a server of grpc-js. */
export interface GrpcLoad {
  readonly port: number;
  readonly token: string;
  /** `/package.Service/Method`. */
  readonly path: string;
  /** The encoded message. */
  readonly request: Uint8Array;
  /** How long the right answer is, bytes, without its frame. */
  readonly answerLength: number;
  /** Calls, over `connections` with `streams` at once each. */
  readonly calls: number;
  readonly connections: number;
  readonly streams: number;
}

/** The frame before a message: a byte for compression, four for the length. */
const frameLength = 5;
const longestSeconds = 120;

export const grpcTool = toolVersion('h2load') === null ? null : 'h2load';

/**
 * Makes so many calls. h2load knows nothing of gRPC's statuses, but a call that fails has no message: each message that
 * is missing in the bytes received is counted as an error.
 */
export async function loadGrpc(load: GrpcLoad): Promise<Measured> {
  const { port, token, path, request, answerLength, calls, connections, streams } = load;
  const directory = await mkdtemp(join(tmpdir(), 'tms-h2load-'));
  try {
    const file = join(directory, 'message');
    const frame = Buffer.alloc(frameLength);
    frame.writeUInt32BE(request.length, 1);
    await writeFile(file, Buffer.concat([frame, request]));
    const printed = await runTool(
      'h2load',
      [
        ...['-t1', `-n${calls}`, `-c${connections}`, `-m${streams}`, `-d${file}`],
        ...['-Hcontent-type: application/grpc', '-Hte: trailers', `-Hauthorization: Bearer ${token}`],
        `http://127.0.0.1:${port}${path}`,
      ],
      longestSeconds,
    );
    const perSecond = Number(/^finished in .*?, ([\d.]+) req\/s/m.exec(printed)?.[1]);
    const succeeded = Number(/^requests: .*?(\d+) succeeded/m.exec(printed)?.[1]);
    const bytes = Number(/\((\d+)\) data$/m.exec(printed)?.[1]);
    if (Number.isNaN(perSecond + succeeded + bytes))
      throw new Error(`h2load answered otherwise than expected: ${printed}`);
    const answers =
      bytes === calls * (frameLength + answerLength)
        ? succeeded
        : Math.floor(bytes / (frameLength + answerLength));
    return { answers, errors: calls - answers, perSecond: (perSecond * answers) / calls };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}
