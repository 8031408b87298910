import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { exportJWK, generateKeyPair, type JSONWebKeySet, SignJWT } from 'jose';

export const issuer = 'https://issuer.example.com';
export const audience = 'tenants';

export type Algorithm = 'RS256' | 'ES256' | 'EdDSA' | 'PS256';

/** A pair of keys of an issuer of tokens. */
export interface SigningKey {
  readonly kid: string;
  readonly publicKey: CryptoKey;
  /** A token for a viewer that expires in a minute, in every way good where `claims` and `header` do not say otherwise. */
  sign(claims?: Record<string, unknown>, header?: Record<string, unknown>): Promise<string>;
}

export async function createSigningKey(kid: string, alg: Algorithm = 'RS256'): Promise<SigningKey> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return {
    kid,
    publicKey,
    sign: (claims = {}, header = {}) =>
      new SignJWT({ ...goodClaims(), ...claims })
        .setProtectedHeader({ alg, kid, ...header })
        .sign(privateKey),
  };
}

export function goodClaims(): Record<string, unknown> {
  const exp = Math.floor(Date.now() / 1000) + 60;
  return { sub: 'somebody', role: 'viewer', iss: issuer, aud: audience, exp };
}

export interface KeyServer extends AsyncDisposable {
  readonly url: string;
  /** How often it was asked. */
  readonly asked: number;
  /** What it answers from now on: the set of these keys, an error, or nothing. */
  answer(how: readonly SigningKey[] | 'error' | 'nothing'): Promise<void>;
  answerText(text: string): void;
}

/** The server of a JSON Web Key Set, on this machine. */
export async function startKeyServer(keys: readonly SigningKey[]): Promise<KeyServer> {
  let asked = 0;
  let reply: (response: ServerResponse) => void = () => {};
  const server = createServer((_request, response) => {
    asked += 1;
    reply(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const keyServer: KeyServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/keys`,
    get asked() {
      return asked;
    },
    async answer(how) {
      if (how === 'nothing') reply = () => {};
      else if (how === 'error') reply = (response) => void response.writeHead(503).end();
      else keyServer.answerText(JSON.stringify(await keySetOf(how)));
    },
    answerText(text) {
      reply = (response) => void response.setHeader('content-type', 'application/json').end(text);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  await keyServer.answer(keys);
  return keyServer;
}

async function keySetOf(keys: readonly SigningKey[]): Promise<JSONWebKeySet> {
  return {
    keys: await Promise.all(
      keys.map(async ({ kid, publicKey }) => ({ ...(await exportJWK(publicKey)), kid })),
    ),
  };
}
