import { once } from 'node:events';
import { connect, constants } from 'node:http2';
import { Server, ServerCredentials, status } from '@grpc/grpc-js';
import { expect, test } from 'vitest';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { refuseSlowRequests } from '../../src/grpc/slow-requests.ts';

test('a call whose request does not come is ended; one that comes is answered', async () => {
  const server = new Server({ interceptors: [refuseSlowRequests(200)] });
  const { getTenant } = rpc;
  server.addService(
    { getTenant },
    { getTenant: (_call: unknown, respond: (error: null, answer: object) => void) => respond(null, {}) },
  );
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const session = connect(`http://127.0.0.1:${port}`);
  await using _ = {
    async [Symbol.asyncDispose]() {
      session.destroy();
      server.forceShutdown();
    },
  };
  const call = (body: Buffer | null) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': getTenant.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    stream.on('error', () => {});
    stream.resume();
    if (body !== null) stream.end(body);
    return stream;
  };
  // An empty message, in gRPC's framing.
  const answered = call(Buffer.alloc(5));
  const [trailers] = await once(answered, 'trailers');
  expect(trailers['grpc-status']).toBe(String(status.OK));

  const silent = call(null);
  const [headers] = await once(silent, 'response');
  expect(headers).toMatchObject({
    'grpc-status': String(status.DEADLINE_EXCEEDED),
    'grpc-message': expect.stringContaining('did'),
  });
  // Told to stop, and that nothing is wrong with what was answered.
  await once(silent, 'close');
  expect(silent.rstCode).toBe(constants.NGHTTP2_NO_ERROR);
  expect(session.closed).toBe(false);
});
