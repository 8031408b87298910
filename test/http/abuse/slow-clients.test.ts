import { EventEmitter, once } from 'node:events';
import { connect, type Socket } from 'node:net';
import pino from 'pino';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createHttpServer, type HttpServer } from '../../../src/http/server.ts';
import { startTestApp } from '../../support/app.ts';

let server: HttpServer;
const stallMs = 500;
const large = 30_000_000;
const answered = new EventEmitter();

/** What becomes of the next answer that is over. */
async function nextAnswer(): Promise<unknown> {
  const [end] = await once(answered, 'answer');
  return end;
}

beforeAll(async () => {
  server = createHttpServer({
    host: '127.0.0.1',
    port: 0,
    tls: null,
    health: { database: async () => true, redis: async () => 'up', worker: 'up' },
    metrics: new Registry(),
    isReady: () => true,
    log: pino({ level: 'silent' }),
    patience: { headersMs: 300, requestMs: 600, stallMs, checkMs: 50 },
  });
  await server.listen();
  server.serve({
    // Reads the body, as GraphQL does.
    async handle(request, response) {
      for await (const _chunk of request);
      response.on('close', () => answered.emit('answer', response.writableFinished ? 'sent' : 'cut'));
      response.end('x'.repeat(Number(request.headers['x-size'] ?? 1)));
    },
    completeSubscriptions() {},
  });
});
afterAll(() => server[Symbol.asyncDispose]());

/** Everything that the server says until it hangs up, while the client sends a byte now and then. */
async function heardBy(begin: string, drip: string | null): Promise<string> {
  const socket: Socket = connect(server.port, '127.0.0.1');
  await once(socket, 'connect');
  let text = '';
  socket.on('data', (data) => {
    text += data;
  });
  // Writing to a socket that was cut.
  socket.on('error', () => {});
  socket.write(begin);
  const dripping = setInterval(() => drip !== null && socket.write(drip), 20);
  await new Promise((resolve) => socket.once('close', resolve));
  clearInterval(dripping);
  return text.split('\r\n')[0] ?? '';
}

test('a header that comes byte by byte is cut', async () => {
  expect(await heardBy('GET /live HTTP/1.1\r\nhost: x\r\nx-slow: ', 'a')).toBe(
    'HTTP/1.1 408 Request Timeout',
  );
});

test('a client that connects and says nothing is cut', async () => {
  expect(await heardBy('', null)).toMatch(/^(HTTP\/1\.1 408 Request Timeout)?$/);
});

test('a body that comes byte by byte is cut', async () => {
  const begin = 'POST /graphql HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n';
  expect(await heardBy(begin, ' ')).toMatch(/^(HTTP\/1\.1 408 Request Timeout)?$/);
});

/** Asks for an answer that is larger than the buffers of both ends, and reads nothing of it yet. */
async function askMuch(): Promise<Socket> {
  const socket = connect(server.port, '127.0.0.1').pause();
  await once(socket, 'connect');
  socket.write(`GET /graphql HTTP/1.1\r\nhost: x\r\nx-size: ${large}\r\n\r\n`);
  return socket;
}

test('a client that does not read its answer is cut; one that rests between two requests is not', async () => {
  const resting = connect(server.port, '127.0.0.1').setEncoding('utf8');
  let heard = '';
  resting.on('data', (data) => {
    heard += data;
  });
  const answers = () => heard.split('HTTP/1.1 200 OK').length - 1;
  const ask = 'GET /live HTTP/1.1\r\nhost: x\r\n\r\n';
  resting.write(ask);
  await vi.waitFor(() => expect(answers()).toBe(1));

  const socket = await askMuch();
  expect(await nextAnswer()).toBe('cut');
  socket.destroy();

  resting.write(ask);
  await vi.waitFor(() => expect(answers()).toBe(2));
  resting.destroy();
});

test('a client that reads its answer slowly gets all of it', async () => {
  const socket = await askMuch();
  const begun = performance.now();
  let size = 0;
  const answer = nextAnswer();
  const reading = setInterval(() => {
    size += socket.read()?.length ?? 0;
  }, 10);
  expect(await answer).toBe('sent');
  expect(performance.now() - begun).toBeGreaterThan(2 * stallMs);
  await vi.waitFor(() => expect(size).toBeGreaterThan(large), 10_000);
  clearInterval(reading);
  socket.destroy();
});

test('headers of more than 16 KiB are refused', async () => {
  await using app = await startTestApp({ worker: false });
  const ask = (size: number) => fetch(`${app.httpUrl}/live`, { headers: { 'x-large': 'x'.repeat(size) } });
  expect((await ask(15_000)).status).toBe(200);
  expect((await ask(17_000)).status).toBe(431);
});
