import { once } from 'node:events';
import { connect as connectTo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Client, credentials, Metadata, status } from '@grpc/grpc-js';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ConnectionPoolServiceService } from '../../src/generated/proto/connectionpool/connection_pool.ts';
import { HealthService } from '../../src/generated/proto/grpc/health/v1/health.ts';
import { TenantServiceService } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { reflectionServices } from '../../src/grpc/reflection-service.ts';
import { createSchema } from '../../src/resolvers/schema.ts';
import { type GraphqlClient, graphqlClient } from '../http/graphql-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { documents } from './documents.ts';

// Nonsense of all kinds, a bounded number of it. What is asked of the fields that exist is in the `bad-input` tests.

let app: TestApp;
let graphql: GraphqlClient;
let grpc: Client;

beforeAll(async () => {
  // Without a rate limit, which would answer some of what is asked again.
  app = await startTestApp({ worker: false });
  graphql = graphqlClient(app);
  grpc = new Client(app.grpcAddress, credentials.createInsecure());
});
afterAll(async () => {
  grpc?.close();
  await app?.[Symbol.asyncDispose]();
});

const document = documents(createSchema());
const variables = fc.oneof(
  fc.constant({}),
  fc.dictionary(fc.string({ maxLength: 5 }), fc.jsonValue()),
  fc.jsonValue(),
);

/** Whether the service is to blame for an answer to a document, or gives another one when it is asked again. */
async function isAnswered(query: string, values: unknown): Promise<void> {
  const answer = await graphql.run('admin', query, values);
  const { status: code, body } = answer;
  expect(code).toBeLessThan(500);
  for (const { message, extensions } of body.errors ?? []) {
    expect([message, extensions.code]).not.toEqual([message, 'INTERNAL']);
    expect(message).not.toContain('\n');
  }
  if (query.includes('mutation')) return;
  // The third answer goes another way, and the fifth may be the fourth one: docs/decisions/0024.
  for (let again = 0; again < 4; again++) expect(await graphql.run('admin', query, values)).toEqual(answer);
}

test('whatever document comes, with whatever variables, the service is not to blame', async () => {
  await fc.assert(fc.asyncProperty(document, variables, isAnswered), { numRuns: 500 });
}, 120_000);

test('whatever comes as the body of a request is answered', async () => {
  const body = fc.oneof(fc.uint8Array({ maxLength: 500 }), fc.json().map(Buffer.from));
  const type = fc.constantFrom(
    'application/json',
    'application/graphql',
    'text/plain',
    'multipart/form-data',
    '',
  );
  await fc.assert(
    fc.asyncProperty(body, type, async (bytes, contentType) => {
      const response = await graphql.post(
        'admin',
        '',
        {},
        {
          body: Buffer.from(bytes),
          headers: { 'content-type': contentType },
        },
      );
      await response.text();
      expect(response.status).toBeLessThan(500);
    }),
    { numRuns: 200 },
  );
}, 60_000);

const methods = [
  TenantServiceService,
  ConnectionPoolServiceService,
  HealthService,
  ...reflectionServices,
].flatMap((service) => Object.values(service));

/** Protobuf's wire format, more or less: fields of each type with whatever they hold. */
const message = fc
  .array(
    fc.oneof(
      fc
        .tuple(fc.integer({ min: 1, max: 14 }), fc.uint8Array({ maxLength: 60 }))
        .map(([number, bytes]) => Buffer.from([number * 8 + 2, bytes.length, ...bytes])),
      fc
        .tuple(fc.integer({ min: 1, max: 14 }), fc.nat({ max: 127 }))
        .map((varint) => Buffer.from([varint[0] * 8, varint[1]])),
      fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    ),
    { maxLength: 6 },
  )
  .map((fields) => Buffer.concat(fields));

/** The status of a call with these bytes as its message; a stream that goes on is cancelled. */
function codeOf(path: string, bytes: Buffer): Promise<string> {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${app.tokens.admin}`);
  const call = grpc.makeServerStreamRequest(
    path,
    (same: Buffer) => same,
    (same) => same,
    bytes,
    metadata,
    { deadline: Date.now() + 30_000 },
  );
  return new Promise((resolve) => {
    call.on('data', () => call.cancel());
    call.on('error', () => {});
    call.on('status', ({ code }) => resolve(status[code]));
  });
}

test('whatever bytes come as the message of an RPC, the service is not to blame', async () => {
  expect(methods.map(({ path }) => path)).toContain('/connectionpool.ConnectionPoolService/GetConnection');
  const method = fc.constantFrom(...methods);
  await fc.assert(
    fc.asyncProperty(method, message, async ({ path }, bytes) => {
      const code = await codeOf(path, bytes);
      expect(['UNKNOWN', 'INTERNAL', 'UNIMPLEMENTED', 'UNAVAILABLE', 'DEADLINE_EXCEEDED']).not.toContain(
        code,
      );
    }),
    { numRuns: 600 },
  );
}, 120_000);

test('bytes that are neither HTTP nor HTTP/2 end their connection and nothing else', async () => {
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const beginning = fc.constantFrom(
    Buffer.alloc(0),
    preface,
    Buffer.from('POST /graphql HTTP/1.1\r\nhost: x\r\n'),
  );
  const ports = [new URL(app.httpUrl).port, app.grpcAddress.split(':')[1]].map(Number);
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...ports),
      beginning,
      fc.uint8Array({ maxLength: 300 }),
      async (port, first, rest) => {
        const socket = connectTo(port, '127.0.0.1');
        socket.on('error', () => {});
        socket.resume();
        await once(socket, 'connect');
        socket.end(Buffer.concat([first, rest]));
        await once(socket, 'close');
      },
    ),
    { numRuns: 150 },
  );
  expect((await fetch(`${app.httpUrl}/health`)).status).toBe(200);
  expect(await codeOf(HealthService.check.path, Buffer.alloc(0))).toBe('CANCELLED');
}, 60_000);

test('it leaves no memory behind', async () => {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const queries = fc.sample(document, { numRuns: 150, seed: 1 });
  const messages = fc.sample(message, { numRuns: 200, seed: 1 });
  const nonsense = async () => {
    for (const query of queries) await isAnswered(query, {});
    for (const bytes of messages) {
      for (const { path } of methods.slice(0, 3)) await codeOf(path, bytes);
    }
    collect();
    return process.memoryUsage().heapUsed;
  };
  // What is kept of a document that was parsed is there behind the first time.
  await nonsense();
  const before = await nonsense();
  await nonsense();
  const after = await nonsense();
  expect(after - before).toBeLessThan(2 * 1024 * 1024);
}, 180_000);
