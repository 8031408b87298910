import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { configOf, directory, key, otherKey, refusal } from './invoke.ts';

describe('keys', () => {
  test('are read in order, the first to write with', () => {
    expect(configOf(['--encryption-keys', `2026-07:${key}, old_1:${otherKey}`]).encryptionKeys).toEqual([
      { id: '2026-07', key: new Uint8Array(32).fill(7) },
      { id: 'old_1', key: new Uint8Array(32).fill(9) },
    ]);
  });

  test('may come as lines of a file', () => {
    const path = join(directory, 'keys');
    const two = [
      { id: 'new', key: new Uint8Array(32).fill(7) },
      { id: 'old', key: new Uint8Array(32).fill(9) },
    ];
    for (const between of ['\n', '\r\n', ',\n', '\n\n']) {
      writeFileSync(path, `new:${key}${between}old:${otherKey}\n`);
      expect(configOf([], { TMS_ENCRYPTION_KEYS_FILE: path }).encryptionKeys).toEqual(two);
    }
    writeFileSync(path, `new:${key}\nold ${otherKey}\n`);
    expect(refusal([], { TMS_ENCRYPTION_KEYS_FILE: path })).toBe(
      `${start.replace('keys ', 'keys (TMS_ENCRYPTION_KEYS_FILE) ')} entry 2 is not of that form`,
    );
  });

  const start =
    '--encryption-keys takes id:base64(32 bytes), comma separated, ids of letters, digits, _ and - and at most 32 characters;';
  test.each([
    [key, `${start} entry 1 is not of that form`],
    [`${key}:a`, `${start} entry 1 is not of that form`],
    [`a:${key},`, `${start} entry 2 is not of that form`],
    [`a b:${key}`, `${start} entry 1 is not of that form`],
    [`${'a'.repeat(33)}:${key}`, `${start} entry 1 is not of that form`],
    [`a:${key.slice(0, -1)}`, `${start} entry 1 is not of that form`],
    [`a:${key.slice(0, -2)}d=`, `${start} entry 1 is not of that form`],
    [`a:${Buffer.alloc(31).toString('base64')}`, `${start} entry 1 has 31 bytes instead of 32`],
    [`a:${key},b:${Buffer.alloc(33).toString('base64')}`, `${start} entry 2 has 33 bytes instead of 32`],
    [`a:${key},a:${otherKey}`, `${start} entry 2 repeats the id of an earlier one`],
  ])('%s is refused without quoting it', (text, line) => {
    expect(refusal(['--encryption-keys', text])).toBe(line);
  });
});
