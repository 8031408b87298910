import { mkdtemp, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDataDirectory } from '../../src/db/data-directory.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'tms-data-'));
});
afterAll(() => rm(directory, { recursive: true }));

test('makes the directory and those above it, for nobody else to read', async () => {
  const path = join(directory, 'a/b/c');

  expect(await createDataDirectory(path)).toBe(path);
  expect((await stat(path)).mode & 0o077).toBe(process.getuid?.() === 0 ? 0o011 : 0);
  expect(await readdir(directory)).toEqual(['a']);
});

test('leaves one that is there as it is', async () => {
  const path = join(directory, 'there');
  await createDataDirectory(path);
  await writeFile(join(path, 'file'), '');

  expect(await createDataDirectory(path)).toBe(path);
  expect(await readdir(path)).toEqual(['file']);
});

test.each(['/proc/no/such', '/dev/null/no/such'])(
  'refuses %s, in one line that names the flag',
  async (path) => {
    await expect(createDataDirectory(path)).rejects.toThrow(
      /^--data-dir takes a directory that can be made: E.*$/,
    );
  },
);
