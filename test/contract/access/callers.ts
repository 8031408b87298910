import { exportSPKI, SignJWT, UnsecuredJWT } from 'jose';
import { type Role, roles } from '../../../src/core/model.ts';
import { startTestApp, type TestApp } from '../../support/app.ts';
import { audience, createSigningKey, goodClaims, issuer, startKeyServer } from '../../support/key-server.ts';

/** Everybody who may come, by what they show. */
export interface Callers<Shown> {
  readonly members: Readonly<Record<Role, Shown>>;
  /** All that must count as nobody. */
  readonly strangers: ReadonlyMap<string, Shown>;
}

/** They show a token; null is none at all. */
export interface AccessBed extends Callers<string | null>, AsyncDisposable {
  /** It checks tokens by a key set; no worker, so that tenants stay as the test leaves them. */
  readonly app: TestApp;
  readonly members: Readonly<Record<Role, string>>;
}

/** The service, and everybody who may come to it. */
export async function startAccessBed(): Promise<AccessBed> {
  await using stack = new AsyncDisposableStack();
  const [key, unknownKey] = await Promise.all([createSigningKey('known'), createSigningKey('unknown')]);
  const keys = stack.use(await startKeyServer([key]));
  const authentication = { kind: 'jwks', url: keys.url, issuer, audience } as const;
  const app = stack.use(await startTestApp({ worker: false, config: { authentication } }));
  const exp = Math.floor(Date.now() / 1000) + 600;
  const admin = { ...goodClaims(), role: 'admin', exp };
  const [viewer = '', editor = '', full = ''] = await Promise.all(
    roles.map((role) => key.sign({ sub: `test-${role}`, role, exp })),
  );
  const publicKeyAsSecret = new TextEncoder().encode(await exportSPKI(key.publicKey));
  const strangers = new Map([
    ['no token', null],
    ['malformed', 'nonsense'],
    ['expired', await key.sign({ ...admin, exp: exp - 3_600 })],
    ['alg: none', new UnsecuredJWT(admin).encode()],
    [
      'the public key as a secret',
      await new SignJWT(admin).setProtectedHeader({ alg: 'HS256', kid: key.kid }).sign(publicKeyAsSecret),
    ],
    ['the secret of another mode', app.tokens.admin],
    ['an unknown key', await unknownKey.sign(admin)],
    ['wrong issuer', await key.sign({ ...admin, iss: 'https://evil.example.com' })],
    ['wrong audience', await key.sign({ ...admin, aud: 'others' })],
    ['unknown role', await key.sign({ ...admin, role: 'root' })],
  ]);
  const running = stack.move();
  return {
    app,
    members: { viewer, editor, admin: full },
    strangers,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** The row of the table: what is asked for, then what comes of it for strangers and for each role. */
export async function rowOf<Shown>(
  { members, strangers }: Callers<Shown>,
  what: string,
  outcome: (shown: Shown) => Promise<string>,
): Promise<string> {
  const byStranger = new Map<string, string>();
  for (const [stranger, shown] of strangers) byStranger.set(stranger, await outcome(shown));
  const cells = [allAlike(byStranger)];
  for (const role of roles) cells.push(await outcome(members[role]));
  return row(what, cells);
}

export function row(what: string, cells: readonly string[]): string {
  return `| \`${what}\` | ${cells.join(' | ')} |`;
}

/** What all of them got, or who got what. */
export function allAlike(outcomes: ReadonlyMap<string, string>): string {
  const [first = '', ...others] = new Set(outcomes.values());
  return others.length === 0 ? first : JSON.stringify(Object.fromEntries(outcomes));
}
