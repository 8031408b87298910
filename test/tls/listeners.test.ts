import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KeyPair } from '../../scripts/development-certificates.ts';
import { TenantServiceService as rpc } from '../../src/generated/proto/tenant/v1/tenant.ts';
import { connect, failureOf } from '../grpc/grpc-client.ts';
import { startTestApp, type TestApp } from '../support/app.ts';
import { createTestAuthority, opensslMissing, type TestAuthority } from '../support/certificates.ts';
import { agentOf, byName, get, handshake, portOf, trusting } from './peers.ts';

describe.skipIf(opensslMissing !== null)('listeners with TLS', () => {
  const parts = new AsyncDisposableStack();
  let authority: TestAuthority;
  let stranger: TestAuthority;
  let app: TestApp;
  let strict: TestApp;

  beforeAll(async () => {
    authority = parts.use(await createTestAuthority());
    stranger = parts.use(await createTestAuthority());
    const { cert, key } = await authority.issue('another');
    const args = [`--tls-cert=${cert}`, `--tls-key=${key}`];
    app = parts.use(await startTestApp({ worker: false, args }));
    strict = parts.use(
      await startTestApp({ worker: false, args: [...args, `--tls-client-ca=${authority.cert}`] }),
    );
  });
  afterAll(() => parts.disposeAsync());

  const id = crypto.randomUUID();
  const notFound = { code: 'NOT_FOUND' };
  const ports = () => [app.httpUrl, app.grpcAddress].map(portOf);

  test('serve health, metrics and GraphQL over HTTPS, and gRPC', async () => {
    const agent = agentOf(authority.cert);
    expect(await get(`${app.httpUrl}/health`, agent)).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(await get(`${app.httpUrl}/ready`, agent)).toMatchObject({ status: 200 });
    expect(await get(`${app.httpUrl}/graphql?query={__typename}`, agent)).toMatchObject({
      body: { errors: [{ extensions: { code: 'UNAUTHENTICATED' } }] },
    });
    using caller = connect(byName(app), app.tokens.viewer, trusting(authority.cert));
    expect(await failureOf(caller.unary(rpc.getTenant, { id }))).toMatchObject(notFound);
  });

  test('refuse plain text', async () => {
    await expect(fetch(app.httpUrl.replace('https', 'http'))).rejects.toThrow();
    using caller = connect(byName(app), app.tokens.viewer);
    expect(await failureOf(caller.unary(rpc.getTenant, { id }))).toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('are refused by a client that trusts another authority', async () => {
    await expect(get(`${app.httpUrl}/live`, agentOf(stranger.cert))).rejects.toThrow(
      'unable to verify the first certificate',
    );
    using caller = connect(byName(app), app.tokens.viewer, trusting(stranger.cert));
    expect(await failureOf(caller.unary(rpc.getTenant, { id }))).toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('unable to verify the first certificate'),
    });
  });

  test('speak TLS 1.2 and 1.3, not 1.1', async () => {
    for (const port of ports()) {
      expect(await handshake(port, '-tls1_3')).toContain('New, TLSv1.3, Cipher is TLS_');
      expect(await handshake(port, '-tls1_2')).toContain('New, TLSv1.2, Cipher is ECDHE-');
      expect(await handshake(port, '-tls1_1')).toContain('alert protocol version');
    }
  });

  describe('and an authority of clients', () => {
    const issue = (file: string, name: string, ...alternativeNames: string[]) =>
      authority.issue(file, { name, alternativeNames, usage: 'clientAuth' });
    const caller = (token: string | null, pair?: KeyPair) =>
      connect(byName(strict), token, trusting(authority.cert, pair));
    const reading = async (token: string | null, pair?: KeyPair) => {
      using reader = caller(token, pair);
      return await failureOf(reader.unary(rpc.getTenant, { id }));
    };
    const deleting = async (token: string | null, pair?: KeyPair) => {
      using deleter = caller(token, pair);
      return await failureOf(deleter.unary(rpc.deleteTenant, { id }));
    };

    test('take no gRPC client without a certificate of theirs, and any over HTTP', async () => {
      expect(await reading(strict.tokens.admin)).toMatchObject({ code: 'UNAVAILABLE' });
      const foreign = await stranger.issue('client', { usage: 'clientAuth' });
      expect(await reading(strict.tokens.admin, foreign)).toMatchObject({ code: 'UNAVAILABLE' });
      // A server's certificate is none of a client.
      expect(await reading(strict.tokens.admin, await authority.issue('another'))).toMatchObject({
        code: 'UNAVAILABLE',
      });
      const agent = agentOf(authority.cert);
      expect(await get(`${strict.httpUrl}/live`, agent)).toMatchObject({ status: 200 });
    });

    test('ask for a token as well, unless the certificate names a role', async () => {
      const plain = await issue('plain', 'billing', 'DNS:billing.example.com');
      expect(await reading(null, plain)).toMatchObject({ code: 'UNAUTHENTICATED' });
      expect(await reading(strict.tokens.viewer, plain)).toMatchObject(notFound);
      const viewer = await issue('viewer', 'reports', 'DNS:reports.example.com', 'URI:tms:role:viewer');
      expect(await reading(null, viewer)).toMatchObject(notFound);
      expect(await deleting(null, viewer)).toMatchObject({ code: 'PERMISSION_DENIED' });
      const admin = await issue('admin', 'operations', 'URI:tms:role:admin');
      expect(await deleting(null, admin)).toMatchObject(notFound);
      // A token wins: a bad one too.
      expect(await deleting(strict.tokens.viewer, admin)).toMatchObject({
        code: 'PERMISSION_DENIED',
      });
      expect(await reading('no token', admin)).toMatchObject({ code: 'UNAUTHENTICATED' });
    });

    test.each([
      ['unknown', ['URI:tms:role:root']],
      ['of another case', ['URI:tms:role:ADMIN']],
      ['more than one', ['URI:tms:role:viewer', 'URI:tms:role:admin']],
      ['behind something', ['URI:x:tms:role:admin']],
      ['in a name of another kind', ['DNS:tms.role.admin', 'email:tms:role:admin@example.com']],
    ])('give nobody a role that is %s', async (file, names) => {
      const pair = await issue(file.replaceAll(' ', '-'), 'somebody', ...names);
      expect(await reading(null, pair)).toMatchObject({ code: 'UNAUTHENTICATED' });
    });
  });
});
