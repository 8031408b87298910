import { chmod, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** PostgreSQL's user may enter it: as root, PostgreSQL runs as another one. */
export async function temporaryDirectory(parts: AsyncDisposableStack): Promise<{ path: string }> {
  const path = await realpath(await mkdtemp(join(tmpdir(), 'tms-bench-')));
  parts.defer(() => rm(path, { recursive: true, force: true, maxRetries: 3 }));
  await chmod(path, 0o711);
  return { path };
}
