import { execFile } from 'node:child_process';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { writePrivateFile } from '../src/db/private-file.ts';

// Certificates for development and tests, of a P-256 key each. Node signs no certificate; the program openssl does, in
// words that OpenSSL 1.1.1 and LibreSSL know too.

/** The paths of a certificate and its private key, in PEM. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

export interface CertificateOptions {
  /** The subject's common name. */
  readonly name: string;
  /** As OpenSSL writes them: `DNS:localhost`, `IP:127.0.0.1`, `URI:…`. */
  readonly alternativeNames: readonly string[];
  readonly usage: 'serverAuth' | 'clientAuth';
}

const authorityDays = 3_650;
/** What clients accept at most of a server's certificate. */
const certificateDays = 397;

/** Makes a certificate authority, who signs itself. @throws when there is no openssl */
export function createAuthority(at: KeyPair, name: string): Promise<void> {
  return sign(at, name, (key) => ['-signkey', key, '-days', String(authorityDays)], {
    basicConstraints: 'critical,CA:TRUE',
    keyUsage: 'critical,keyCertSign,cRLSign',
    subjectKeyIdentifier: 'hash',
  });
}

/** Makes a certificate that `authority` has signed. @throws when there is no openssl */
export function createCertificate(
  at: KeyPair,
  authority: KeyPair,
  { name, alternativeNames, usage }: CertificateOptions,
): Promise<void> {
  const signer = ['-CA', authority.cert, '-CAkey', authority.key, '-days', String(certificateDays)];
  return sign(at, name, () => signer, {
    basicConstraints: 'critical,CA:FALSE',
    keyUsage: 'critical,digitalSignature',
    extendedKeyUsage: usage,
    subjectAltName: alternativeNames.join(','),
    authorityKeyIdentifier: 'keyid',
  });
}

async function sign(
  at: KeyPair,
  name: string,
  signer: (key: string) => readonly string[],
  extensions: Readonly<Record<string, string>>,
): Promise<void> {
  await using scratch = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'tms-certificates-'));
  scratch.defer(() => rm(directory, { recursive: true }));
  const write = async (file: string, content: string) => {
    await writeFile(join(directory, file), content, { mode: 0o600 });
    return join(directory, file);
  };
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const key = await write('key', pem);
  const subject = await write(
    'subject',
    `[req]\ndistinguished_name = subject\nprompt = no\n[subject]\nCN = ${name}\n`,
  );
  const extensionFile = await write('extensions', lines(extensions));
  const request = await openssl(['req', '-new', '-sha256', '-key', key, '-config', subject], '');
  const serial = ['-set_serial', `0x01${randomBytes(15).toString('hex')}`];
  const how = ['-sha256', ...signer(key), ...serial, '-extfile', extensionFile];
  const certificate = await openssl(['x509', '-req', ...how], request);
  // One right after the other: a service that reads them in between finds two that do not belong together.
  await writePrivateFile(at.key, pem);
  await writePrivateFile(at.cert, certificate);
}

function lines(settings: Readonly<Record<string, string>>): string {
  return Object.entries(settings)
    .map(([name, value]) => `${name} = ${value}\n`)
    .join('');
}

async function openssl(args: readonly string[], input: string): Promise<string> {
  const running = promisify(execFile)('openssl', args);
  // Where it is not read there is nobody to write to.
  running.child.stdin?.on('error', () => {}).end(input);
  try {
    return (await running).stdout;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT')
      throw new Error('the program openssl is needed and not on the PATH: install it', { cause: error });
    throw error;
  }
}
