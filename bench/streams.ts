import { once } from 'node:events';
import { connect } from 'node:net';

/** Streams of server-sent events over connections of their own, with as little of a client as there can be. */
export interface StreamsRequest {
  readonly port: number;
  /** They take turns: a principal may have a hundred streams. */
  readonly tokens: readonly string[];
  /** Of a subscription. */
  readonly query: string;
}

/** Opened at once, so that no server is stormed. */
const atOnce = 20;

/**
 * Opens so many streams, which are open when this resolves: their headers have come. What comes after that is told as it
 * comes over the wire, with the stream's number, from 0.
 * @throws when one is refused
 */
export async function openStreams(
  request: StreamsRequest,
  count: number,
  onText: (text: string, stream: number) => void,
): Promise<void> {
  let begun = 0;
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (begun < count) {
        const stream = begun++;
        await openStream(request, stream, (text) => onText(text, stream));
      }
    }),
  );
}

async function openStream(
  { port, tokens, query }: StreamsRequest,
  stream: number,
  onText: (text: string) => void,
): Promise<void> {
  const socket = connect({ host: '127.0.0.1', port, noDelay: true });
  socket.setEncoding('latin1');
  await once(socket, 'connect');
  const body = JSON.stringify({ query });
  const head = [
    'POST /graphql HTTP/1.1',
    `host: 127.0.0.1:${port}`,
    `authorization: Bearer ${tokens[stream % tokens.length]}`,
    'content-type: application/json',
    'accept: text/event-stream',
    `content-length: ${body.length}`,
  ];
  socket.write([...head, '', body].join('\r\n'));
  const [answer]: string[] = await once(socket, 'data');
  if (!answer?.startsWith('HTTP/1.1 200 ')) throw new Error(`the stream was refused: ${answer}`);
  socket.on('data', onText);
}
