// Prints `N passed, N failed`, and `, N skipped` where there are any, of all the JSON reports of Vitest's together.
import { existsSync, readFileSync } from 'node:fs';

const counts = { passed: 0, failed: 0, skipped: 0 };
for (const file of process.argv.slice(2)) {
  // A run that did not come to its report has failed.
  if (!existsSync(file)) {
    counts.failed += 1;
    continue;
  }
  const report = JSON.parse(readFileSync(file, 'utf8'));
  // A file that could not even be loaded has no tests to fail.
  const brokenFiles = report.testResults.filter(
    (result) => result.status === 'failed' && result.assertionResults.length === 0,
  );
  counts.passed += report.numPassedTests;
  counts.failed += report.numFailedTests + brokenFiles.length;
  counts.skipped += report.numPendingTests + report.numTodoTests;
}
const { passed, failed, skipped } = counts;
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
