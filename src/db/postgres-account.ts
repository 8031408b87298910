import { readFile, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** The operating system's user that PostgreSQL's programs run as. */
export interface PostgresAccount {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

/**
 * PostgreSQL refuses to run as root: then it runs as the user `postgres` or, where there is none, such as in a bare
 * container, as `nobody`. Null: as ourselves.
 * @throws Error in one line when we are root and there is neither.
 */
export async function postgresAccount(): Promise<PostgresAccount | null> {
  if (process.getuid?.() !== 0) return null;
  const account = accountIn(await readFile('/etc/passwd', 'utf8'));
  if (account !== null) return account;
  throw new Error(
    'PostgreSQL does not run as root and there is no user "postgres" to run it as: start as another user, or create that one with "useradd --system postgres"',
  );
}

/** The account that PostgreSQL may run as, of a file like /etc/passwd; null when there is none. */
export function accountIn(users: string): PostgresAccount | null {
  for (const name of ['postgres', 'nobody']) {
    const [, uid, gid] = new RegExp(`^${name}:[^:]*:(\\d+):(\\d+):`, 'm').exec(users) ?? [];
    if (uid !== undefined && gid !== undefined) return { name, uid: Number(uid), gid: Number(gid) };
  }
  return null;
}

/**
 * Holds only the permission bits against the account, as the kernel would for a user without further groups.
 * @throws Error in one line that names the first directory above or at `path` that the account cannot enter.
 */
export async function requireAccess(account: PostgresAccount | null, path: string): Promise<void> {
  if (account === null) return;
  for (const directory of [...ancestors(path), path]) {
    const { mode, uid, gid } = await stat(directory);
    const bit = uid === account.uid ? 0o100 : gid === account.gid ? 0o010 : 0o001;
    if ((mode & bit) !== 0) continue;
    throw new Error(
      `the user "${account.name}", which PostgreSQL runs as when the service is root, cannot enter ${directory}: run "chmod o+x ${directory}", use a directory elsewhere, or start as another user`,
    );
  }
}

/** From the root downwards. */
function ancestors(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [...ancestors(parent), parent];
}
