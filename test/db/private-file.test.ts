import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readOrCreatePrivateFile, writePrivateFile } from '../../src/db/private-file.ts';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'private-file-'));
});

afterEach(() => rm(directory, { recursive: true, force: true }));

test('of many that find no file one makes it, and all have what it holds', async () => {
  const path = join(directory, 'secret');
  const found = await Promise.all(
    Array.from({ length: 20 }, (_, number) => readOrCreatePrivateFile(path, () => `made by ${number}`)),
  );
  expect(found.filter(({ created }) => created)).toHaveLength(1);
  const [maker] = found.filter(({ created }) => created);
  expect(found.map(({ content }) => content)).toEqual(found.map(() => maker?.content));
  expect(await readdir(directory)).toEqual(['secret']);
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('many that write one file at the same time leave one whole file', async () => {
  const path = join(directory, 'token');
  const contents = Array.from({ length: 20 }, (_, number) => `token ${number}`.repeat(500));
  await Promise.all(contents.map((content) => writePrivateFile(path, content)));
  const { content, created } = await readOrCreatePrivateFile(path, () => 'none');
  expect({ created, isOne: contents.includes(content) }).toEqual({ created: false, isOne: true });
  expect(await readdir(directory)).toEqual(['token']);
});
