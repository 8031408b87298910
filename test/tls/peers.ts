import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { connect } from 'node:tls';
import { credentials } from '@grpc/grpc-js';
import type { KeyPair } from '../../scripts/development-certificates.ts';
import type { TestApp } from '../support/app.ts';

/** Credentials of a gRPC client that trusts this authority, and shows a certificate if it has one. */
export function trusting(ca: string, pair?: KeyPair) {
  const bytes = readFileSync(ca);
  return pair === undefined
    ? credentials.createSsl(bytes)
    : credentials.createSsl(bytes, readFileSync(pair.key), readFileSync(pair.cert));
}

/** The gRPC address by the name that certificates hold; TLS has no names for addresses. */
export const byName = (app: TestApp) => app.grpcAddress.replace('127.0.0.1', 'localhost');

export const portOf = (address: string) => Number(/:(\d+)$/.exec(address)?.[1]);

/** The status and body of a GET, by an agent's connection. */
export function get(url: string, agent: Agent): Promise<{ status: number | undefined; body: unknown }> {
  return new Promise((resolve, reject) => {
    const sent = request(url, { agent }, async (response) => {
      let text = '';
      for await (const chunk of response.setEncoding('utf8')) text += chunk;
      resolve({ status: response.statusCode, body: JSON.parse(text) });
    });
    sent.on('error', reject).end();
  });
}

/** An agent that trusts this authority. */
export const agentOf = (ca: string, keepAlive = false) =>
  new Agent({ ca: readFileSync(ca), keepAlive, maxSockets: 1 });

/** The serial number of the certificate that a new connection is shown. */
export async function shownSerial(port: number): Promise<string> {
  const options = { host: '127.0.0.1', port, rejectUnauthorized: false, ALPNProtocols: ['h2', 'http/1.1'] };
  const socket = connect(options);
  await once(socket, 'secureConnect');
  const { serialNumber } = socket.getPeerCertificate();
  socket.destroy();
  return serialNumber;
}

/** What `openssl s_client` says of a handshake with this version of the protocol. */
export function handshake(port: number, version: '-tls1_1' | '-tls1_2' | '-tls1_3'): Promise<string> {
  const args = ['s_client', '-connect', `127.0.0.1:${port}`, version, '-alpn', 'h2,http/1.1'];
  // Or it would not even propose the old one.
  const weak = version === '-tls1_3' ? [] : ['-cipher', 'ALL:@SECLEVEL=0'];
  return new Promise((resolve) => {
    const child = execFile('openssl', [...args, ...weak], (_error, stdout, stderr) =>
      resolve(stdout + stderr),
    );
    child.stdin?.end();
  });
}
