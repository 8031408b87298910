import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { hasCode } from './error-code.ts';
import { writePrivateFile } from './private-file.ts';

const Credentials = z.object({ superuser: z.string().min(1), service: z.string().min(1) }).readonly();

/** Passwords of the embedded database's two logins. */
export type EmbeddedCredentials = z.infer<typeof Credentials>;

/**
 * The passwords kept in the data directory, or null.
 * @throws Error in one line when the file cannot be read.
 */
export async function readCredentials(dataDir: string): Promise<EmbeddedCredentials | null> {
  const path = credentialsFile(dataDir);
  try {
    return Credentials.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return null;
    // The causes of a malformed file would quote its content.
    throw new Error(
      hasCode(error, 'EACCES')
        ? `${path} cannot be read by this user: start as the user who made the data directory`
        : `${path} is damaged: restore it from a backup`,
    );
  }
}

/** Makes random passwords and keeps them, 0600; they are whole on the disk before this returns. */
export async function createCredentials(dataDir: string): Promise<EmbeddedCredentials> {
  const credentials = { superuser: randomPassword(), service: randomPassword() };
  await writePrivateFile(credentialsFile(dataDir), `${JSON.stringify(credentials, null, 2)}\n`);
  return credentials;
}

/** Where the passwords are kept. */
export function credentialsFile(dataDir: string): string {
  return join(dataDir, 'postgres.json');
}

function randomPassword(): string {
  return randomBytes(24).toString('base64url');
}
