import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';

// Fails when a dependency is known to be dangerous or its licence is none of those below. Where the registry's audit
// service does not answer, that is said, and is no failure: not every mirror of the registry has one.

const permissive = new Set([
  ...['MIT', 'ISC', '0BSD', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0'],
  ...['Python-2.0', 'Unlicense', 'CC0-1.0', 'PostgreSQL'],
]);

/** Used unchanged, and why that does for them. */
const exceptions: Readonly<Record<string, string>> = {
  elkjs: 'EPL-2.0; a part of the Prisma command’s studio, which is not used',
  lightningcss: 'MPL-2.0; a part of the tests’ bundler',
  'seq-queue': 'names no licence in its package.json; its LICENSE is MIT’s',
};

interface Lock {
  readonly packages: Readonly<Record<string, { readonly license?: string }>>;
}

interface Audit {
  readonly vulnerabilities?: Readonly<Record<string, { readonly severity: string; readonly range: string }>>;
}

/** A line for each package whose licence is not accepted. */
async function licenceProblems(): Promise<string[]> {
  const lock: Lock = JSON.parse(await readFile(new URL('../package-lock.json', import.meta.url), 'utf8'));
  return Object.entries(lock.packages).flatMap(([path, { license = 'none' }]) => {
    const name = path.split('node_modules/').at(-1) ?? '';
    // An expression of SPDX: whatever is joined by OR, AND or WITH has to be accepted.
    const names = license.split(/\s+(?:OR|AND|WITH)\s+|[()]/i).filter((part) => part !== '');
    const isAccepted = names.every((part) => permissive.has(part));
    // The platforms' packages of `lightningcss` are called `lightningcss-linux-x64-gnu` and so on.
    const isException = Object.keys(exceptions).some(
      (known) => name === known || name.startsWith(`${known}-`),
    );
    if (path === '' || isAccepted || isException) return [];
    return [
      `${name} has the licence ${license}: take another package, or say in scripts/check-dependencies.ts why not`,
    ];
  });
}

/** A line for each package with a known vulnerability of level high or critical; null when nobody knows. */
async function vulnerabilities(): Promise<string[] | null> {
  const report = await new Promise<string>((resolve) => {
    // It ends with a code when it finds something, and its report is all the same on stdout.
    execFile('npm', ['audit', '--json'], { maxBuffer: 64 * 1024 * 1024, timeout: 60_000 }, (_error, stdout) =>
      resolve(stdout),
    );
  });
  const { vulnerabilities: found }: Audit = JSON.parse(report || '{}');
  if (found === undefined) return null;
  return Object.entries(found)
    .filter(([, { severity }]) => severity === 'high' || severity === 'critical')
    .map(
      ([name, { severity, range }]) =>
        `${name} ${range} is known to be vulnerable (${severity}); see npm audit`,
    );
}

const [licences, audit] = await Promise.all([licenceProblems(), vulnerabilities()]);
for (const problem of [...licences, ...(audit ?? [])]) console.error(problem);
if (licences.length === 0) console.log('licences: every dependency has one of those that are accepted');
console.log(
  audit === null
    ? 'npm audit: the audit service of the registry does not answer, so vulnerabilities were NOT looked for'
    : `npm audit: ${audit.length} of level high or above`,
);
if (licences.length > 0 || (audit !== null && audit.length > 0)) process.exitCode = 1;
