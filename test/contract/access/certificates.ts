import type { KeyPair } from '../../../scripts/development-certificates.ts';
import { type Role, roles } from '../../../src/core/model.ts';
import { type Caller, connect } from '../../grpc/grpc-client.ts';
import { startTestApp, type TestApp } from '../../support/app.ts';
import { createTestAuthority } from '../../support/certificates.ts';
import { byName, trusting } from '../../tls/peers.ts';
import type { Callers } from './callers.ts';

/** A certificate, and a token if there is one. */
interface Shown {
  readonly pair: KeyPair;
  readonly token: string | null;
}

export interface CertificateBed extends Callers<Shown>, AsyncDisposable {
  /** It asks for clients' certificates. */
  readonly app: TestApp;
  connectWith(shown: Shown): Caller;
}

/** The service, and everybody who may come to it with a certificate of its own authority. */
export async function startCertificateBed(): Promise<CertificateBed> {
  await using stack = new AsyncDisposableStack();
  const authority = stack.use(await createTestAuthority());
  const { cert, key } = await authority.issue('server');
  const tls = [`--tls-cert=${cert}`, `--tls-key=${key}`, `--tls-client-ca=${authority.cert}`];
  const app = stack.use(await startTestApp({ worker: false, args: tls }));
  const named = async (file: string, alternativeNames: readonly string[], token: string | null = null) => ({
    pair: await authority.issue(file, { name: file, alternativeNames, usage: 'clientAuth' }),
    token,
  });
  const member = (role: Role) => named(role, ['DNS:client.example.com', `URI:tms:role:${role}`]);
  const [viewer, editor, admin] = await Promise.all([member('viewer'), member('editor'), member('admin')]);
  const strangers = new Map([
    ['no role', await named('none', ['DNS:client.example.com'])],
    ['unknown role', await named('unknown', ['URI:tms:role:root'])],
    [
      'all roles',
      await named(
        'all',
        roles.map((role) => `URI:tms:role:${role}`),
      ),
    ],
    [
      'a name of another kind',
      await named('kind', ['email:tms:role:admin@example.com', 'DNS:tms.role.admin']),
    ],
    ['a bad token', { ...admin, token: 'nonsense' }],
  ]);
  const running = stack.move();
  return {
    app,
    members: { viewer, editor, admin },
    strangers,
    connectWith: ({ pair, token }) => connect(byName(app), token, trusting(authority.cert, pair)),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}
