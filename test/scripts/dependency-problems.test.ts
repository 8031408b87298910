import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { auditProblems, licenceProblems } from '../../scripts/dependency-problems.ts';

describe('licences', () => {
  const lock = (packages: Record<string, object>) => JSON.stringify({ packages: { '': {}, ...packages } });
  const refused = (name: string, licence: string) => [
    `${name} has the licence ${licence}: take another package, or say in scripts/dependency-problems.ts why not`,
  ];

  test('of this project are all accepted', async () => {
    expect(licenceProblems(await readFile('package-lock.json', 'utf8'))).toEqual([]);
  });

  test('of an expression must all be accepted', () => {
    const of = (license: string) =>
      licenceProblems(lock({ 'node_modules/a/node_modules/@x/b': { license } }));
    expect(of('(MIT OR Apache-2.0)')).toEqual([]);
    expect(of('MIT AND GPL-3.0-only')).toEqual(refused('@x/b', 'MIT AND GPL-3.0-only'));
    expect(licenceProblems(lock({ 'node_modules/c': {} }))).toEqual(refused('c', 'none'));
  });

  test('of an exception hold for it, for the packages of its platforms, and for that licence', () => {
    const parts = { 'lightningcss-linux-x64-gnu': '1.0.0' };
    const known = { 'node_modules/lightningcss': { license: 'MPL-2.0', optionalDependencies: parts } };
    const beside = (name: string, license: string) =>
      licenceProblems(lock({ ...known, [`node_modules/${name}`]: { license } }));
    expect(beside('lightningcss-linux-x64-gnu', 'MPL-2.0')).toEqual([]);
    expect(beside('lightningcss-linux-x64-gnu', 'GPL-3.0-only')).toHaveLength(1);
    expect(beside('lightningcss-plugin', 'MPL-2.0')).toEqual(refused('lightningcss-plugin', 'MPL-2.0'));
    expect(licenceProblems(lock({ 'node_modules/elkjs': { license: 'GPL-3.0-only' } }))).toHaveLength(1);
  });
});

describe('the audit', () => {
  const report = (...severities: string[]) => {
    const found = severities.map((severity) => [severity, { severity, range: '<2', isDirect: true }]);
    return JSON.stringify({ auditReportVersion: 2, vulnerabilities: Object.fromEntries(found) });
  };

  test('tells of what is high or worse', () => {
    expect(auditProblems(report('low', 'moderate', 'high', 'critical'))).toEqual({
      kind: 'answered',
      problems: [
        'high <2 is known to be vulnerable (high); see npm audit',
        'critical <2 is known to be vulnerable (critical); see npm audit',
      ],
    });
    expect(auditProblems(report())).toEqual({ kind: 'answered', problems: [] });
  });

  test.each([
    ['', 'it wrote nothing'],
    ['<html>Bad gateway</html>', 'it wrote no JSON'],
    ['{"message":"404 Not Found","error":{"summary":"","detail":""}}', '404 Not Found'],
    ['{"error":{"code":"ENOAUDIT"}}', 'its report is of another kind'],
    ['{"advisories":{}}', 'its report is of another kind'],
    ['null', 'its report is of another kind'],
  ])('that is %j was none, and that is said', (output, why) => {
    expect(auditProblems(output)).toEqual({ kind: 'unanswered', why });
  });
});
