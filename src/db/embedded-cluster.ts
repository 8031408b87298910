import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { PostgresAccount } from './postgres-account.ts';
import type { PostgresBinaries } from './postgres-binaries.ts';

const run = promisify(execFile);

/** The embedded cluster's superuser. */
export const SUPERUSER = 'postgres';

/**
 * Environment of PostgreSQL's programs: none of ours, since that holds secrets and `PG…` variables that they obey.
 * The language is fixed because their messages are read, the time zone so that initdb does not copy this machine's.
 */
export const POSTGRES_ENVIRONMENT = { PATH: process.env.PATH ?? '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' };

/**
 * Makes a new cluster at `path` (0700, UTF-8, passwords demanded of everybody). It is made beside and renamed when it is
 * whole, so that a kill at any moment leaves either no cluster or a good one; what killed runs left is removed.
 * Its files are not yet synced to disk: see {@link syncCluster}.
 * @throws Error in one line with the reason that initdb gave.
 */
export async function createCluster(options: {
  path: string;
  password: string;
  binaries: PostgresBinaries;
  account: PostgresAccount | null;
}): Promise<void> {
  const { path, password, binaries, account } = options;
  await removeDrafts(path);
  const draft = await mkdtemp(`${path}.initdb-`);
  try {
    const passwordFile = join(draft, 'password');
    await writeFile(passwordFile, password, { mode: 0o600 });
    await mkdir(join(draft, 'cluster'), { mode: 0o700 });
    if (account !== null) {
      for (const made of [draft, passwordFile, join(draft, 'cluster')]) {
        await chown(made, account.uid, account.gid);
      }
    }
    await runInitdb(binaries, account, [
      ...['--pgdata', join(draft, 'cluster'), '--username', SUPERUSER, '--pwfile', passwordFile],
      ...['--auth', 'scram-sha-256', '--no-sync', '--no-instructions', '--encoding', 'UTF8'],
      ...(await localeOptions(binaries)),
    ]);
    await rename(join(draft, 'cluster'), path);
  } finally {
    await removeDrafts(path);
  }
}

/** Writes all of a cluster's files through to the disk; its server may run meanwhile. */
export async function syncCluster(
  path: string,
  binaries: PostgresBinaries,
  account: PostgresAccount | null,
): Promise<void> {
  await runInitdb(binaries, account, ['--pgdata', path, '--sync-only']);
}

async function runInitdb(
  binaries: PostgresBinaries,
  account: PostgresAccount | null,
  options: readonly string[],
): Promise<void> {
  const child = spawn(binaries.initdb, options, {
    ...account,
    cwd: '/',
    env: POSTGRES_ENVIRONMENT,
    detached: true, // like the server: a Ctrl-C is for us to handle
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const [code, signal]: unknown[] = await once(child, 'close');
  if (code !== 0) {
    throw new Error(
      `the embedded database could not be created: ${reasonIn(output) ?? `initdb ended with ${code ?? signal}`}`,
    );
  }
}

/** The builtin locale sorts alike on every platform; before PostgreSQL 17 there is only the operating system's. */
async function localeOptions(binaries: PostgresBinaries): Promise<string[]> {
  const { stdout } = await run(binaries.initdb, ['--version'], { cwd: '/', env: POSTGRES_ENVIRONMENT });
  const major = Number(/(\d+)/.exec(stdout)?.[1]);
  if (major < 17) return ['--locale', 'C.UTF-8'];
  return ['--locale-provider', 'builtin', '--builtin-locale', 'C.UTF-8', '--locale', 'C'];
}

/** An initdb whose parent was killed may still write into its draft; it then fails, and the next start removes the rest. */
async function removeDrafts(path: string): Promise<void> {
  const siblings = await readdir(dirname(path));
  for (const name of siblings.filter((name) => name.startsWith(`${basename(path)}.initdb-`))) {
    await rm(join(dirname(path), name), { recursive: true, force: true, maxRetries: 3 }).catch(() => {});
  }
}

/** What comes after the first line with the error is about cleaning up. */
function reasonIn(output: string): string | undefined {
  const lines = output.trim().split('\n');
  return lines.find((line) => /error|fatal/i.test(line)) ?? lines.find((line) => line !== '');
}
