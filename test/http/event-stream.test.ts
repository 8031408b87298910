import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import type { ExecutionResult } from 'graphql';
import { afterEach, expect, test, vi } from 'vitest';
import { createEndableStream } from '../../src/http/endable-stream.ts';
import { sendEvents } from '../../src/http/event-stream.ts';

afterEach(() => vi.useRealTimers());

/** A client of a server that sends what `next` answers. */
async function sending(next: () => Promise<IteratorResult<ExecutionResult, unknown>>) {
  await using stack = new AsyncDisposableStack();
  let asked = 0;
  const ended = Promise.withResolvers<void>();
  const sent = Promise.withResolvers<void>();
  const results = createEndableStream<ExecutionResult>(() => {
    asked += 1;
    return next();
  }, ended.resolve);
  const server = createServer((_request, response) => {
    response.on('close', () => results.end());
    sendEvents(results, response.writeHead(200)).then(sent.resolve, sent.reject);
  }).listen(0, '127.0.0.1');
  stack.defer(() => {
    server.close();
    server.closeAllConnections();
  });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const socket = stack.adopt(
    connect(port, '127.0.0.1').setEncoding('utf8'),
    (socket) => void socket.destroy(),
  );
  let text = '';
  socket.on('data', (data) => {
    text += data;
  });
  socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n');
  const running = stack.move();
  return {
    socket,
    results,
    text: () => text,
    asked: () => asked,
    /** Fulfilled when nothing is left of it. */
    over: Promise.all([ended.promise, sent.promise]),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Reads no more, until the buffers of both ends are full. */
async function stalled({ socket, asked }: Awaited<ReturnType<typeof sending>>): Promise<void> {
  socket.pause();
  let before = -1;
  await vi.waitFor(
    () => {
      const unchanged = asked() === before;
      before = asked();
      expect(unchanged && before > 1).toBe(true);
    },
    { timeout: 20_000, interval: 300 },
  );
}

const forever = () => new Promise<never>(() => {});

test('a stream that is silent says something every twelve seconds, and ends with the last word', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  await using sent = await sending(forever);
  const pings = () =>
    sent
      .text()
      .split('\r\n')
      .filter((line) => line === ':\n\n').length;
  await vi.waitFor(() => expect(pings()).toBe(1));
  expect(sent.text()).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  await vi.advanceTimersByTimeAsync(11_000);
  expect(pings()).toBe(1);
  await vi.advanceTimersByTimeAsync(13_000);
  await vi.waitFor(() => expect(pings()).toBe(3));
  sent.results.end({ data: { a: 1 } });
  await sent.over;
  expect(vi.getTimerCount()).toBe(0);
  await vi.waitFor(() =>
    expect(sent.text()).toMatch(
      /event: next\ndata: {"data":{"a":1}}\n\n.*event: complete\ndata:\n\n\r\n0\r\n\r\n$/s,
    ),
  );
});

test('a client that does not read is not asked for: the next result is made when it has taken the one before', async () => {
  const large = { data: { text: 'x'.repeat(1_000_000) } };
  await using sent = await sending(async () => ({ done: false, value: large }));
  await stalled(sent);
  sent.socket.destroy();
  await sent.over;
});

test('a client that does not read is not waited for when the stream has ended', async () => {
  const large = { data: { text: 'x'.repeat(1_000_000) } };
  await using sent = await sending(async () => ({ done: false, value: large }));
  await stalled(sent);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  sent.results.end({ data: { last: true } });
  await vi.advanceTimersByTimeAsync(5_000);
  await sent.over;
  expect(vi.getTimerCount()).toBe(0);
});

test('a client that reads late, but in time, has all to the end', async () => {
  const large = { data: { text: 'x'.repeat(1_000_000) } };
  await using sent = await sending(async () => ({ done: false, value: large }));
  await stalled(sent);
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  sent.results.end({ data: { last: true } });
  await vi.advanceTimersByTimeAsync(4_000);
  sent.socket.resume();
  await sent.over;
  await vi.waitFor(() =>
    expect(sent.text()).toMatch(/{"last":true}.*event: complete\ndata:\n\n\r\n0\r\n\r\n$/s),
  );
  expect(vi.getTimerCount()).toBe(0);
});

test('a client that goes away while nothing comes leaves nothing behind', async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
  await using sent = await sending(forever);
  await vi.waitFor(() => expect(sent.text()).toContain(':\n\n'));
  sent.socket.destroy();
  await sent.over;
  expect(vi.getTimerCount()).toBe(0);
});
