import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { runCommand } from '../src/command.ts';

const run = promisify(execFile);
const directory = 'release';

// `npm run release`, at the project's root: writes into `release` what is published of HEAD. Twice of one commit it makes
// the same source; only the bill of materials has a time and a number of its own.
await runCommand(async () => {
  if (process.argv.length > 2)
    throw new Error('npm run release takes no arguments: the version is the one in package.json');
  const { name, version }: { name: string; version: string } = JSON.parse(
    await readFile('package.json', 'utf8'),
  );
  const { stdout: changes } = await run('git', ['status', '--porcelain']);
  if (changes !== '')
    throw new Error('the release is made of a commit: commit what git status shows, or remove it');
  const headings = (await readFile('CHANGELOG.md', 'utf8')).split('\n').map((line) => line.split(' '));
  if (!headings.some(([mark, heading]) => mark === '##' && heading === version)) {
    throw new Error(
      `CHANGELOG.md has no heading "## ${version}": say there what the release brings, and commit it`,
    );
  }

  await rm(directory, { recursive: true, force: true });
  await mkdir(directory);
  const release = `${name}-${version}`;
  const source = `${release}.tar.gz`;
  await run('git', ['archive', `--prefix=${release}/`, '--output', join(directory, source), 'HEAD']);
  const bill = `${release}.cdx.json`;
  const { stdout } = await run('npm', ['run', '--silent', 'sbom'], { maxBuffer: 64 * 1024 * 1024 });
  await writeFile(join(directory, bill), stdout);
  let sums = '';
  for (const file of [bill, source]) {
    const sum = createHash('sha256').update(await readFile(join(directory, file)));
    sums += `${sum.digest('hex')}  ${file}\n`;
  }
  await writeFile(join(directory, 'SHA256SUMS'), sums);
  process.stdout.write(`Made in ${directory}: ${source}, ${bill}, SHA256SUMS\n`);
});
