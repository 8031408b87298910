import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { KeyPair } from '../../scripts/development-certificates.ts';
import { createTestAuthority, opensslMissing, type TestAuthority } from '../support/certificates.ts';
import { configOf, directory, refusal, secret } from './invoke.ts';

describe.skipIf(opensslMissing !== null)('TLS of the listeners', () => {
  let authority: TestAuthority;
  let pair: KeyPair;
  let other: KeyPair;
  const nothing = { TMS_TLS_CERT: '' };

  beforeAll(async () => {
    authority = await createTestAuthority();
    pair = await authority.issue('server');
    other = await authority.issue('other');
  });
  afterAll(() => authority[Symbol.asyncDispose]());

  const words = ({ cert, key }: KeyPair) => [`--tls-cert=${cert}`, `--tls-key=${key}`];
  const write = (name: string, content: string) => {
    writeFileSync(join(directory, name), content);
    return join(directory, name);
  };

  test('is that of a pair of files, or none at all', () => {
    expect(configOf(words(pair)).tls).toEqual({ ...pair, clientCa: null });
    const clientCa = authority.cert;
    expect(configOf([...words(pair), `--tls-client-ca=${clientCa}`]).tls).toEqual({ ...pair, clientCa });
    expect(configOf(['--tls-cert=none']).tls).toBeNull();
  });

  test('lets the listeners leave loopback', () => {
    const exposed = ['--host=0.0.0.0', `--auth-secret=${secret}`];
    expect(configOf([...exposed, ...words(pair)]).host).toBe('0.0.0.0');
    expect(refusal(exposed)).toContain(
      '--host 0.0.0.0 without TLS is refused: give --tls-cert and --tls-key',
    );
    // A client's certificate is not asked for over HTTP.
    expect(
      refusal(['--host=0.0.0.0', '--no-auth', ...words(pair), `--tls-client-ca=${authority.cert}`]),
    ).toContain('--no-auth with --host 0.0.0.0');
  });

  test('takes none of the flags without those that it needs', () => {
    expect(refusal([`--tls-cert=${pair.cert}`], nothing)).toBe('--tls-cert takes --tls-key beside it');
    for (const env of [nothing, {}]) {
      expect(refusal([`--tls-key=${pair.key}`], env)).toBe('--tls-key takes --tls-cert beside it');
    }
    expect(refusal([`--tls-client-ca=${authority.cert}`])).toBe(
      '--tls-client-ca takes --tls-cert and --tls-key beside it',
    );
  });

  test('takes no files that are missing, broken, or do not belong together', () => {
    const certificate = '-----BEGIN CERTIFICATE-----\nMIIB';
    const half = write('half.pem', certificate);
    const missing = join(directory, 'missing.pem');
    expect(refusal(words({ ...pair, cert: missing }))).toBe(
      `--tls-cert takes a readable PEM file, not "${missing}": ENOENT`,
    );
    expect(refusal(words({ ...pair, key: directory }))).toBe(
      `--tls-key takes a readable PEM file, not "${directory}": EISDIR`,
    );
    expect(refusal(words({ ...pair, cert: half }))).toBe(
      `--tls-cert takes a PEM file of certificates, not "${half}"`,
    );
    expect(refusal(words({ ...pair, key: half }))).toBe(
      `--tls-key takes a PEM file of a private key without a passphrase, not "${half}"`,
    );
    expect(refusal(words({ cert: pair.cert, key: other.key }))).toBe(
      `--tls-key takes the private key of the certificate in --tls-cert, not "${other.key}"`,
    );
    expect(refusal([...words(pair), `--tls-client-ca=${half}`])).toBe(
      `--tls-client-ca takes a PEM file of certificates, not "${half}"`,
    );
  });

  test('is that of certs, when both files are there', () => {
    const before = process.cwd();
    try {
      process.chdir(directory);
      mkdirSync('certs');
      expect(configOf([], nothing).tls).toBeNull();
      writeFileSync('certs/cert.pem', 'no certificate');
      expect(configOf([], nothing).tls).toBeNull();
      writeFileSync('certs/key.pem', 'no key');
      expect(refusal([], nothing)).toMatch(
        /^--tls-cert takes a PEM file of certificates, not ".*certs\/cert\.pem"$/,
      );
      expect(configOf(['--tls-cert=none'], nothing).tls).toBeNull();
    } finally {
      process.chdir(before);
    }
  });
});
