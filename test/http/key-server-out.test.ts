import { expect, test } from 'vitest';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { connect, failureOf } from '../grpc/grpc-client.ts';
import { startTestApp } from '../support/app.ts';
import { audience, createSigningKey, issuer, startKeyServer } from '../support/key-server.ts';
import { graphqlClient } from './graphql-client.ts';

test('while there are no keys, both listeners are UNAVAILABLE and the log says why', async () => {
  const key = await createSigningKey('key');
  await using keys = await startKeyServer([key]);
  await keys.answer('error');
  const authentication = { kind: 'jwks', url: keys.url, issuer, audience } as const;
  await using app = await startTestApp({ worker: false, config: { authentication } });
  const viewer = await key.sign();

  const accept = 'application/graphql-response+json';
  const client = graphqlClient({ ...app, tokens: { ...app.tokens, viewer } });
  const response = await client.post('viewer', '{ tenants { nodes { id } } }', {}, { headers: { accept } });
  const message = 'The keys that tokens are checked with cannot be fetched; try again in a moment.';
  expect(response.status).toBe(503);
  expect(await response.json()).toEqual({ errors: [{ message, extensions: { code: 'UNAVAILABLE' } }] });

  using caller = connect(app.grpcAddress, viewer);
  const list = { pageSize: 0, pageToken: '', status: [], tier: '', search: '', deleted: '' };
  expect(await failureOf(caller.unary(rpc.listTenants, list))).toEqual({
    code: 'UNAVAILABLE',
    message,
    reason: 'UNAVAILABLE',
    fields: [],
  });

  // Whoever has no token at all hears that, and waits for nothing.
  expect((await client.run(null, '{ tenants { nodes { id } } }')).body).toMatchObject({
    errors: [{ extensions: { code: 'UNAUTHENTICATED' } }],
  });
  expect(app.logged.filter((line) => line.includes('--auth-jwks-url'))).not.toEqual([]);
  expect(app.logged.join('')).not.toContain(viewer);
});
