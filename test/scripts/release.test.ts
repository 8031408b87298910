import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { appendFile, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  bareEnvironment,
  createDirectory,
  type Directory,
  nodeProgram,
  projectRoot,
} from '../support/process.ts';

const run = promisify(execFile);
const isClone = existsSync(join(projectRoot, '.git'));
if (!isClone) console.warn('the tests of a release are skipped: the project is no clone');

describe.skipIf(!isClone)('npm run release', () => {
  let directory: Directory;
  let clone: string;
  let version: string;
  const at = (...path: string[]) => join(clone, ...path);
  const git = (...args: string[]) =>
    run('git', ['-c', 'user.name=test', '-c', 'user.email=test@example.com', ...args], { cwd: clone });
  const release = (...args: string[]) =>
    run(nodeProgram, [join(projectRoot, 'scripts/release.ts'), ...args], {
      cwd: clone,
      env: bareEnvironment,
    });

  beforeAll(async () => {
    directory = await createDirectory();
    clone = join(directory.path, 'clone');
    await run('git', ['clone', '--quiet', projectRoot, clone]);
    version = JSON.parse(await readFile(at('package.json'), 'utf8')).version;
  });
  afterAll(() => directory?.[Symbol.asyncDispose]());

  /** A commit with this in the changelog. */
  async function commit(heading: string): Promise<void> {
    await writeFile(at('CHANGELOG.md'), `# Changelog\n\n${heading}\n`);
    await git('commit', '--quiet', '--all', '--allow-empty', '--message', heading);
  }

  test('refuses arguments', async () => {
    await expect(release('1.0.0')).rejects.toMatchObject({
      code: 2,
      stderr: 'npm run release takes no arguments: the version is the one in package.json\n',
    });
  });

  test('refuses a version that the changelog does not have', async () => {
    await commit('## Unreleased');
    await expect(release()).rejects.toMatchObject({
      code: 2,
      stderr: `CHANGELOG.md has no heading "## ${version}": say there what the release brings, and commit it\n`,
    });
    expect(existsSync(at('release'))).toBe(false);
  });

  test('refuses a tree that is not committed', async () => {
    await commit(`## ${version}`);
    const refused = {
      code: 2,
      stderr: 'the release is made of a commit: commit what git status shows, or remove it\n',
    };
    await writeFile(at('stray.txt'), '');
    await expect(release()).rejects.toMatchObject(refused);
    await rm(at('stray.txt'));
    await appendFile(at('README.md'), 'more');
    await expect(release()).rejects.toMatchObject(refused);
    await git('checkout', '--quiet', 'README.md');
  });

  test('writes the source of the commit, what it consists of, and their sums', async () => {
    const name = `tenant-management-service-${version}`;
    await commit(`## ${version} (2026-01-01)`);
    const [bill, source] = [`${name}.cdx.json`, `${name}.tar.gz`];
    await release();
    const first = await readFile(at('release', source));
    // Its own output makes no difference to the tree, and is not added up.
    await release();
    expect(first.equals(await readFile(at('release', source)))).toBe(true);
    expect((await readdir(at('release'))).toSorted()).toEqual(['SHA256SUMS', bill, source].toSorted());

    const { stdout: listed } = await run('tar', ['-tzf', at('release', source)]);
    const { stdout: committed } = await git('ls-files');
    const files = listed.split('\n').filter((path) => path !== '' && !path.endsWith('/'));
    expect(files.toSorted()).toEqual(
      committed
        .split('\n')
        .filter((path) => path !== '')
        .map((path) => `${name}/${path}`)
        .toSorted(),
    );

    const { bomFormat, metadata, components } = JSON.parse(await readFile(at('release', bill), 'utf8'));
    expect({ bomFormat, version: metadata.component.version }).toEqual({ bomFormat: 'CycloneDX', version });
    const names = components.map((component: { name: string }) => component.name);
    expect(names).toEqual(expect.arrayContaining(['graphql', 'pg']));
    expect(names).not.toContain('vitest');

    const sums = await Promise.all(
      [bill, source].map(async (file) => {
        const sum = createHash('sha256').update(await readFile(at('release', file)));
        return `${sum.digest('hex')}  ${file}\n`;
      }),
    );
    expect(await readFile(at('release', 'SHA256SUMS'), 'utf8')).toBe(sums.join(''));
  });
});
