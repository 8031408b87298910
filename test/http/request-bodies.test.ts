import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestApp, type TestApp } from '../support/app.ts';
import { eventually } from '../support/eventually.ts';

// However the body of a request comes in, its answer is the same.

let app: TestApp;

beforeAll(async () => {
  app = await startTestApp({ worker: false });
});
afterAll(() => app?.[Symbol.asyncDispose]());

async function open(): Promise<{ socket: Socket; received: () => string }> {
  const { hostname, port } = new URL(app.httpUrl);
  const socket = connect(Number(port), hostname);
  let text = '';
  socket.setEncoding('utf8').on('data', (data) => {
    text += data;
  });
  await once(socket, 'connect');
  return { socket, received: () => text };
}

function request(query: string): { head: string; body: string } {
  const body = JSON.stringify({ query });
  const head = [
    'POST /graphql HTTP/1.1',
    `host: ${new URL(app.httpUrl).host}`,
    `authorization: Bearer ${app.tokens.viewer}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
  ];
  return { head: `${head.join('\r\n')}\r\n\r\n`, body };
}

const answersIn = (text: string) => text.split('HTTP/1.1 200 OK').length - 1;

test.each<[string, (head: string, body: string) => string[]]>([
  ['with its headers', (head, body) => [head + body]],
  ['behind its headers', (head, body) => [head, body]],
  ['in two parts', (head, body) => [head + body.slice(0, 9), body.slice(9)]],
  ['one byte after the other', (head, body) => [head, ...body]],
])('a body that comes %s', async (_, packets) => {
  const { socket, received } = await open();
  const { head, body } = request('{ tenants(first: 1) { nodes { id } } }');
  socket.setNoDelay(true);
  // Three times, so that the last one takes the short path.
  for (let n = 1; n <= 3; n++) {
    for (const packet of packets(head, body)) {
      await new Promise<void>((resolve) => void socket.write(packet, () => setImmediate(resolve)));
    }
    await eventually(async () => answersIn(received()) === n, 10_000);
  }
  expect(received()).not.toContain('errors');
  socket.destroy();
});

test('requests that come together are answered in their order', async () => {
  const { socket, received } = await open();
  const names = Array.from({ length: 12 }, (_, index) => `n${index % 2}`);
  socket.write(
    names
      .map((name) => request(`{ ${name}: __typename }`))
      .map(({ head, body }) => head + body)
      .join(''),
  );
  await eventually(async () => answersIn(received()) === names.length, 10_000);
  expect([...received().matchAll(/"(n\d)":"Query"/g)].map(([, name]) => name)).toEqual(names);
  socket.destroy();
});

test('who leaves before the body is whole leaves nothing behind', async () => {
  const { head, body } = request('{ tenants(first: 2) { nodes { id } } }');
  const { socket } = await open();
  socket.write(head + body.slice(0, 5));
  socket.destroy();
  await once(socket, 'close');
  const { socket: another, received } = await open();
  another.write(head + body);
  await eventually(async () => answersIn(received()) === 1, 10_000);
  another.destroy();
});
