import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CertificateOptions,
  createAuthority,
  createCertificate,
  type KeyPair,
} from '../../scripts/development-certificates.ts';

/** Null when certificates can be made here; else why not, for `describe.skipIf`. */
export const opensslMissing: string | null =
  spawnSync('openssl', ['version']).status === 0
    ? null
    : 'the tests of TLS are skipped: no openssl on the PATH';

/** An authority with files of its own. */
export interface TestAuthority extends AsyncDisposable {
  readonly directory: string;
  /** The PEM file of its certificate. */
  readonly cert: string;
  /** Makes another certificate at a path of its own, or at one of before. */
  issue(file: string, options?: Partial<CertificateOptions>): Promise<KeyPair>;
}

/** Who signs servers' certificates for this machine's own loopback, unless it is asked for something else. */
export async function createTestAuthority(): Promise<TestAuthority> {
  const directory = await mkdtemp(join(tmpdir(), 'tms-authority-'));
  const at = (file: string): KeyPair => ({
    cert: join(directory, `${file}.pem`),
    key: join(directory, `${file}-key.pem`),
  });
  const authority = at('ca');
  await createAuthority(authority, 'Test authority');
  return {
    directory,
    cert: authority.cert,
    async issue(file, options) {
      const alternativeNames = ['DNS:localhost', 'IP:127.0.0.1'];
      const usual = { name: 'test', alternativeNames, usage: 'serverAuth' } as const;
      await createCertificate(at(file), authority, { ...usual, ...options });
      return at(file);
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true, force: true }),
  };
}
