import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { refuseSlowRequests } from '../../src/grpc/slow-requests.ts';

const { getTenant } = rpc;
const server = new Server({ interceptors: [refuseSlowRequests(200)] });
let session: ClientHttp2Session;

beforeAll(async () => {
  server.addService(
    { getTenant },
    { getTenant: (_call: unknown, respond: (error: null, answer: object) => void) => respond(null, {}) },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  session = connect(`http://127.0.0.1:${port}`);
});
afterAll(() => {
  session.destroy();
  server.forceShutdown();
});

function call(headers: Record<string, string> = {}): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': getTenant.path,
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  });
  stream.on('error', () => {});
  return stream.resume();
}

test('a call whose request comes is answered', async () => {
  // An empty message, in gRPC's framing.
  const answered = call().end(Buffer.alloc(5));
  const [trailers] = await once(answered, 'trailers');
  expect(trailers['grpc-status']).toBe(String(status.OK));
});

/** Of a message of 16 MiB. */
const frame = Buffer.from([0, 1, 0, 0, 0]);

test.each<[string, status, string, () => ClientHttp2Stream]>([
  ['does not come', status.DEADLINE_EXCEEDED, 'The request did not come within 0.2 seconds.', () => call()],
  [
    'does not come before its own deadline',
    status.DEADLINE_EXCEEDED,
    'Deadline exceeded',
    () => call({ 'grpc-timeout': '50m' }),
  ],
  [
    'is too large',
    status.RESOURCE_EXHAUSTED,
    'Received message larger than max (16777216 vs 4194304)',
    () => {
      const stream = call();
      stream.write(frame);
      return stream;
    },
  ],
])('a call whose request %s is answered, and ends', async (_what, code, message, begin) => {
  const stream = begin();
  const [headers] = await once(stream, 'response');
  expect([headers['grpc-status'], decodeURI(headers['grpc-message'])]).toEqual([String(code), message]);
  // Told to stop, that nothing is wrong with the answer, and that other calls may go on.
  await once(stream, 'close');
  expect(stream.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  expect(session.closed).toBe(false);
});
