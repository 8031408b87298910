import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { encryptionKeys as keyList } from './config/values.ts';
import type { Config } from './config.ts';
import { createDataDirectory } from './db/data-directory.ts';
import type { KeyProvider } from './db/key-provider.ts';
import type { EncryptionKey } from './db/key-ring.ts';
import { readOrCreatePrivateFile, writePrivateFile } from './db/private-file.ts';
import type { AuthenticationMode } from './http/authentication.ts';
import { issueToken } from './http/token.ts';

// What a start that was given no secrets makes for itself, once, in its data directory (mode 0600).

const devTokenDays = 30;

/**
 * The configured encryption keys, or the data directory's own.
 * @throws when the file of the data directory is damaged
 */
export function encryptionKeys(config: Config): Promise<readonly EncryptionKey[]> {
  const { encryptionKeys: configured, dataDir } = config;
  const provider: KeyProvider =
    configured !== null ? { keys: async () => configured } : generatedKeys(dataDir);
  return provider.keys();
}

/** Says which file must not be lost; once the registry took its keys, since it may be encrypted under others. */
export async function warnOfGeneratedKey(
  { encryptionKeys: configured, dataDir }: Config,
  log: Logger,
): Promise<void> {
  if (configured !== null) return;
  const path = await keyFile(dataDir);
  log.warn(
    `contact addresses are encrypted under the generated key in ${path}: back it up, or give --encryption-keys`,
  );
}

/** One key at first; whoever rotates it writes the new one above it, as a line of the same form. */
function generatedKeys(dataDir: string): KeyProvider {
  return {
    async keys() {
      const path = await keyFile(dataDir);
      const { content } = await readOrCreatePrivateFile(
        path,
        () => `local:${randomBytes(32).toString('base64')}`,
      );
      const { data, error } = keyList.safeParse(content);
      if (error) {
        const [issue] = error.issues;
        throw new Error(`${path} is damaged: ${issue?.message}; restore it from a backup`);
      }
      return data;
    },
  };
}

async function keyFile(dataDir: string): Promise<string> {
  return join(await createDataDirectory(dataDir), 'encryption-key');
}

/** How callers are authenticated, and where the development token is, if there is one. */
export async function authentication(
  config: Config,
): Promise<{ mode: AuthenticationMode; devTokenFile: string | null }> {
  if (config.authentication.kind !== 'generated') return { mode: config.authentication, devTokenFile: null };
  const dataDir = await createDataDirectory(config.dataDir);
  const { content } = await readOrCreatePrivateFile(join(dataDir, 'auth-secret'), () =>
    randomBytes(48).toString('base64url'),
  );
  const secret = new TextEncoder().encode(content);
  const devTokenFile = join(dataDir, 'dev-token');
  // Written at every start, so that it never runs out for somebody who starts now and then.
  const token = await issueToken(secret, {
    subject: 'developer',
    role: 'admin',
    expiresIn: devTokenDays * 86_400,
  });
  await writePrivateFile(devTokenFile, `${token}\n`);
  return { mode: { kind: 'secret', secret, issuer: null, audience: null }, devTokenFile };
}
