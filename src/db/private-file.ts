import { randomUUID } from 'node:crypto';
import { chmod, link, open, readFile, rename, rm } from 'node:fs/promises';
import { hasCode } from './error-code.ts';

/** Writes a file that only this user reads (0600); it is whole on the disk before this returns. */
export async function writePrivateFile(path: string, content: string): Promise<void> {
  await rename(await writeDraft(path, content), path);
}

/**
 * The trimmed content of a private file; `create` makes it when there is none. `created` tells which it was. Of several
 * processes that find none at the same time one makes it, and the others read that.
 */
export async function readOrCreatePrivateFile(
  path: string,
  create: () => string,
): Promise<{ content: string; created: boolean }> {
  for (;;) {
    try {
      return { content: (await readFile(path, 'utf8')).trim(), created: false };
    } catch (error) {
      if (!hasCode(error, 'ENOENT')) throw error;
    }
    const content = create();
    const draft = await writeDraft(path, `${content}\n`);
    try {
      // Unlike a rename, a link replaces nothing.
      await link(draft, path);
      return { content, created: true };
    } catch (error) {
      if (!hasCode(error, 'EEXIST')) throw error;
    } finally {
      await rm(draft, { force: true });
    }
  }
}

/** Each has a name of its own, since others may write the same file at the same time. */
async function writeDraft(path: string, content: string): Promise<string> {
  const draft = `${path}.${randomUUID()}.new`;
  await using file = await open(draft, 'wx', 0o600);
  await file.writeFile(content);
  await file.sync();
  await chmod(draft, 0o600);
  return draft;
}
