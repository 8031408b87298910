import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { Registry } from 'prom-client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createHttpServer, type HttpServer } from '../../../src/http/server.ts';
import { startTestApp } from '../../support/app.ts';

let server: HttpServer;

beforeAll(async () => {
  server = createHttpServer({
    host: '127.0.0.1',
    port: 0,
    tls: null,
    health: { database: async () => true, redis: async () => 'up', worker: 'up' },
    metrics: new Registry(),
    isReady: () => true,
    patience: { headersMs: 300, requestMs: 600, checkMs: 50 },
  });
  await server.listen();
  server.serve({
    // Reads the body, as GraphQL does.
    async handle(request, response) {
      for await (const _chunk of request);
      response.end('read');
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

test('headers of more than 16 KiB are refused', async () => {
  await using app = await startTestApp({ worker: false });
  const ask = (size: number) => fetch(`${app.httpUrl}/live`, { headers: { 'x-large': 'x'.repeat(size) } });
  expect((await ask(15_000)).status).toBe(200);
  expect((await ask(17_000)).status).toBe(431);
});
