import { once } from 'node:events';
import { connect } from 'node:net';
import pino, { type Logger } from 'pino';
import { Registry } from 'prom-client';
import { expect, test } from 'vitest';
import type { HealthChecks } from '../../src/http/health.ts';
import { createHttpServer, type HttpServer } from '../../src/http/server.ts';
import { startTestApp } from '../support/app.ts';

const healthy: HealthChecks = { database: async () => true, redis: async () => 'up', worker: 'up' };

async function serve(
  options: {
    health?: Partial<HealthChecks>;
    isReady?: () => boolean;
    port?: number;
    log?: Pick<Logger, 'error'>;
  } = {},
) {
  const server = createHttpServer({
    host: '127.0.0.1',
    port: options.port ?? 0,
    tls: null,
    health: { ...healthy, ...options.health },
    metrics: new Registry(),
    isReady: options.isReady ?? (() => true),
    log: options.log ?? pino({ level: 'silent' }),
  });
  await server.listen();
  return server;
}

async function get({ port }: HttpServer, path: string, method = 'GET') {
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method });
  const text = await response.text();
  return { status: response.status, body: text === '' ? null : JSON.parse(text) };
}

test.each<[string, Partial<HealthChecks>, object]>([
  [
    'all is well',
    {},
    { status: 200, body: { status: 'ok', checks: { database: 'up', redis: 'up', worker: 'up' } } },
  ],
  [
    'there is no Redis and no worker',
    { redis: async () => 'off', worker: 'off' },
    { status: 200, body: { status: 'ok', checks: { database: 'up', redis: 'off', worker: 'off' } } },
  ],
  [
    'Redis is out',
    { redis: async () => 'down' },
    { status: 200, body: { status: 'degraded', checks: { database: 'up', redis: 'down', worker: 'up' } } },
  ],
  [
    'the database is out',
    { database: () => Promise.reject(new Error('out')), redis: async () => 'down' },
    { status: 503, body: { status: 'down', checks: { database: 'down', redis: 'down', worker: 'up' } } },
  ],
  [
    'the database does not answer',
    { database: () => new Promise(() => {}) },
    { status: 503, body: { status: 'down', checks: { database: 'down', redis: 'up', worker: 'up' } } },
  ],
])('/health when %s', async (_when, health, expected) => {
  await using server = await serve({ health });
  expect(await get(server, '/health')).toEqual(expected);
});

test('/health of the running service', async () => {
  await using app = await startTestApp();
  const response = await fetch(`${app.httpUrl}/health`);
  expect([response.status, await response.json()]).toEqual([
    200,
    { status: 'ok', checks: { database: 'up', redis: 'off', worker: 'up' } },
  ]);
});

test('/live answers always, /ready only when traffic may come', async () => {
  let ready = false;
  await using server = await serve({ isReady: () => ready });
  expect(await get(server, '/live')).toEqual({ status: 200, body: { status: 'ok' } });
  expect(await get(server, '/ready')).toEqual({ status: 503, body: { status: 'not ready' } });
  ready = true;
  expect(await get(server, '/ready')).toEqual({ status: 200, body: { status: 'ready' } });
});

test('what is not there is a line of JSON', async () => {
  await using server = await serve();
  const nothing = { status: 404, body: { error: 'There is nothing here.' } };
  expect(await get(server, '/')).toEqual(nothing);
  expect(await get(server, '/graphql')).toEqual(nothing);
  expect(await get(server, '/live/')).toEqual(nothing);
  expect(await get(server, '/live', 'POST')).toEqual({
    status: 405,
    body: { error: 'Only GET is answered here.' },
  });
  expect(await get(server, '/live', 'HEAD')).toEqual({ status: 200, body: null });
});

test.each(['Host: [', 'Host: a b', 'Host: x/y@z'])('the request header "%s" hurts nobody', async (host) => {
  await using server = await serve();
  const socket = connect(server.port, '127.0.0.1');
  socket.end(`GET /live HTTP/1.1\r\n${host}\r\nConnection: close\r\n\r\n`);
  let text = '';
  socket.on('data', (data) => {
    text += data;
  });
  await once(socket, 'close');
  expect(text).toMatch(/^HTTP\/1.1 (200|400|404) /);
  expect(text).not.toMatch(/ at .*\.ts|node_modules/);
});

test('a port that is taken is refused with a line that says what to do', async () => {
  await using server = await serve();
  await expect(serve({ port: server.port })).rejects.toThrow(
    `Cannot listen for HTTP on 127.0.0.1:${server.port}: another program listens there; choose another port with --http-port.`,
  );
});

test('a drain closes idle connections and takes no new ones', async () => {
  await using server = await serve();
  await get(server, '/live');
  await server.drain(5_000);
  await expect(get(server, '/live')).rejects.toThrow('fetch failed');
});

test('a drain lets an answer finish', async () => {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const asked = Promise.withResolvers<void>();
  await using server = await serve({
    health: {
      database: () => {
        asked.resolve();
        return promise;
      },
    },
  });
  const answer = get(server, '/health');
  await asked.promise;
  const drained = server.drain(5_000);
  resolve(true);
  expect(await answer).toMatchObject({ status: 200 });
  await drained;
});

test.each<[string, () => void | Promise<void>]>([
  [
    'that throws',
    () => {
      throw new Error('of ours');
    },
  ],
  ['that rejects', () => Promise.reject(new Error('of ours'))],
])('a handler %s is a 500 that says nothing, and stands in the log', async (_, handle) => {
  const logged: object[] = [];
  await using server = await serve({ log: { error: (entry: object) => void logged.push(entry) } });
  server.serve({ handle, completeSubscriptions() {} });
  expect(await get(server, '/graphql')).toEqual({ status: 500, body: { error: 'The request failed.' } });
  expect(logged).toEqual([{ err: new Error('of ours') }]);
});
