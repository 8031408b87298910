import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { auditProblems, licenceProblems } from './dependency-problems.ts';

// Fails when a dependency is known to be dangerous or its licence is not accepted. Where the registry's audit service
// does not answer, that is said, and is no failure: not every mirror of the registry has one.

/** What npm writes; it ends with a code when it finds something, and its report is all the same on stdout. */
function npmAudit(): Promise<string> {
  return new Promise((resolve) => {
    execFile('npm', ['audit', '--json'], { maxBuffer: 64 * 1024 * 1024, timeout: 60_000 }, (_error, stdout) =>
      resolve(stdout),
    );
  });
}

const [lock, report] = await Promise.all([
  readFile(new URL('../package-lock.json', import.meta.url), 'utf8'),
  npmAudit(),
]);
const licences = licenceProblems(lock);
const audit = auditProblems(report);
const vulnerable = audit.kind === 'answered' ? audit.problems : [];
for (const problem of [...licences, ...vulnerable]) console.error(problem);
if (licences.length === 0) console.log('licences: every dependency has one of those that are accepted');
console.log(
  audit.kind === 'answered'
    ? `npm audit: ${vulnerable.length} of level high or above`
    : `npm audit: no answer (${audit.why}), so vulnerabilities were NOT looked for`,
);
if (licences.length > 0 || vulnerable.length > 0) process.exitCode = 1;
