import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { encryptionKeys } from '../src/local-secrets.ts';
import { configOf } from './config/invoke.ts';

let dataDir: string;
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'tms-secrets-'));
});
afterAll(() => rm(dataDir, { recursive: true }));

const keysOf = (...args: string[]) => encryptionKeys(configOf([`--data-dir=${dataDir}`, ...args]));
const line = (id: string, byte: number) => `${id}:${Buffer.alloc(32, byte).toString('base64')}`;
const key = (id: string, byte: number) => ({ id, key: new Uint8Array(32).fill(byte) });

test('the generated key stays the same, may get others above it, and gives way to configured ones', async () => {
  const file = join(dataDir, 'encryption-key');
  const generated = await keysOf();
  expect(generated).toEqual([{ id: 'local', key: expect.any(Uint8Array) }]);
  expect(await keysOf()).toEqual(generated);
  await writeFile(file, `${line('k2', 2)}\n${await readFile(file, 'utf8')}`);
  expect(await keysOf()).toEqual([key('k2', 2), ...generated]);
  expect(await keysOf(`--encryption-keys=${line('k3', 3)}`)).toEqual([key('k3', 3)]);
  await writeFile(file, `${line('k2', 2)}\nlocal`);
  await expect(keysOf()).rejects.toThrow(
    new Error(`${file} is damaged: entry 2 is not of that form; restore it from a backup`),
  );
});
