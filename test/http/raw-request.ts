import { once } from 'node:events';
import { connect } from 'node:net';

export interface RawAnswer {
  readonly status: string;
  /** Names in lower case; without the date. */
  readonly headers: Readonly<Record<string, string>>;
  /** Its chunks put together. */
  readonly body: string;
}

/** What a server says to a request, until its last chunk or until it hangs up; no client makes something else of it. */
export async function rawAnswer(
  httpUrl: string,
  head: readonly string[],
  body: string | null,
): Promise<RawAnswer> {
  const { hostname, port, host } = new URL(httpUrl);
  const socket = connect(Number(port), hostname);
  const length = body === null ? [] : [`content-length: ${Buffer.byteLength(body)}`];
  const lines = [...head, `host: ${host}`, 'connection: close', ...length];
  socket.write(`${lines.join('\r\n')}\r\n\r\n${body ?? ''}`);
  let text = '';
  socket.setEncoding('utf8').on('data', (data) => {
    text += data;
    if (text.endsWith('\r\n0\r\n\r\n')) socket.destroy();
  });
  await once(socket, 'close');
  const [answerHead = '', ...rest] = text.split('\r\n\r\n');
  const [status = '', ...headers] = answerHead.split('\r\n');
  return {
    status,
    headers: Object.fromEntries(
      headers
        .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 2)])
        .filter(([name]) => name !== 'date'),
    ),
    body: chunksOf(rest.join('\r\n\r\n')),
  };
}

/** RFC 9112, section 7.1: each chunk stands behind its length, and the last one is empty. */
function chunksOf(text: string): string {
  const [, length = '', rest = ''] = /^([0-9a-f]+)\r\n(.*)$/s.exec(text) ?? [];
  const size = Number.parseInt(length, 16);
  if (!(size > 0)) return '';
  const bytes = Buffer.from(rest);
  return bytes.subarray(0, size).toString() + chunksOf(bytes.subarray(size + 2).toString());
}
