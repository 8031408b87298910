import { randomUUID } from 'node:crypto';
import { link, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { hasCode } from './error-code.ts';
import { identifyProcess, isRunning } from './process-identity.ts';

/**
 * Makes this process the only service on a data directory, until disposed. The lock is a file that names its holder,
 * so the lock of a killed process is taken over.
 * @throws Error in one line when a live process holds it.
 */
export async function lockDataDirectory(dataDir: string): Promise<AsyncDisposable> {
  const self = await identifyProcess(process.pid);
  if (self === null) throw new Error(`cannot read the start time of process ${process.pid}`);
  const path = join(dataDir, 'postgres.lock');
  await take(path, `${self.pid} ${self.start}\n`, dataDir);
  return { [Symbol.asyncDispose]: () => rm(path, { force: true }) };
}

async function take(path: string, self: string, dataDir: string): Promise<void> {
  while (!(await place(path, self))) {
    const holder = await read(path);
    if (holder === null) continue;
    const [, pid = '', start = ''] = /^(\d+) (.*)\n$/.exec(holder) ?? [];
    if (await isRunning({ pid: Number(pid), start })) {
      throw new Error(
        `the data directory ${dataDir} is in use by process ${pid}: stop it, or give another --data-dir`,
      );
    }
    // Of several that find a dead holder only one may remove its file, or the second would remove the first one's.
    const guard = `${path}.takeover`;
    await take(guard, self, dataDir);
    try {
      if ((await read(path)) === holder) await rm(path, { force: true });
    } finally {
      await rm(guard, { force: true });
    }
  }
}

/** A link appears at once with its whole content and never replaces a file. */
async function place(path: string, content: string): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`;
  try {
    await writeFile(draft, content, { mode: 0o600 });
    await link(draft, path);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

async function read(path: string): Promise<string | null> {
  return readFile(path, 'utf8').catch((error: unknown) => {
    if (hasCode(error, 'ENOENT')) return null;
    throw error;
  });
}
