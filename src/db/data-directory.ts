import { chmod, mkdir, realpath } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { hasCode } from './error-code.ts';

/**
 * Creates the data directory when it is missing and returns its real, absolute path. Made by root it can be entered
 * (0711), since PostgreSQL runs as another user inside it; else it is private (0700). An existing one stays as it is.
 * @throws with a line that names --data-dir when it cannot be made
 */
export async function createDataDirectory(dataDir: string): Promise<string> {
  const path = resolve(dataDir);
  try {
    if (await createMissing(path)) await chmod(path, process.getuid?.() === 0 ? 0o711 : 0o700);
    return await realpath(path);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(`--data-dir takes a directory that can be made: ${reason}`, { cause: error });
  }
}

/**
 * Whether it was missing. Node's own recursive mkdir never ends where a file system has no directory and takes none
 * either, such as below /proc.
 */
async function createMissing(path: string): Promise<boolean> {
  try {
    await mkdir(path);
    return true;
  } catch (error) {
    if (hasCode(error, 'EEXIST')) return false;
    if (!hasCode(error, 'ENOENT') || !(await createMissing(dirname(path)))) throw error;
  }
  await mkdir(path);
  return true;
}
