import { z } from 'zod';

const permissive = new Set([
  ...['MIT', 'ISC', '0BSD', 'BSD-2-Clause', 'BSD-3-Clause', 'Apache-2.0', 'BlueOak-1.0.0'],
  ...['Python-2.0', 'Unlicense', 'CC0-1.0', 'PostgreSQL'],
]);

const none = 'none';

/** Packages that are used unchanged, each under this licence and no other. */
const exceptions: Readonly<Record<string, string>> = {
  // A part of the Prisma command's studio, which is not used.
  elkjs: 'EPL-2.0',
  // A part of the tests' bundler.
  lightningcss: 'MPL-2.0',
  // Its LICENSE is MIT's.
  'seq-queue': none,
};

const lockFile = z.object({
  packages: z.record(
    z.string(),
    z.object({
      license: z.string().default(none),
      optionalDependencies: z.record(z.string(), z.string()).default({}),
    }),
  ),
});

/**
 * A line for each package whose licence is not accepted.
 * @param lock the content of package-lock.json
 */
export function licenceProblems(lock: string): string[] {
  const packages = Object.entries(lockFile.parse(JSON.parse(lock)).packages).map(([path, rest]) => ({
    ...rest,
    path,
    name: path.split('node_modules/').at(-1) ?? '',
  }));
  // What an exception is made of for each platform comes as packages of their own, which it names.
  const excepted = new Map(
    packages.flatMap(({ name, optionalDependencies }) => {
      const licence = exceptions[name];
      const parts = Object.keys(optionalDependencies).filter((part) => part.startsWith(`${name}-`));
      return licence === undefined ? [] : [name, ...parts].map((part) => [part, licence] as const);
    }),
  );
  return packages.flatMap(({ path, name, license }) => {
    // An expression of SPDX: whatever is joined by OR, AND or WITH has to be accepted.
    const names = license.split(/\s+(?:OR|AND|WITH)\s+|[()]/i).filter((part) => part !== '');
    const isAccepted = names.every((part) => permissive.has(part));
    if (path === '' || isAccepted || excepted.get(name) === license) return [];
    return [
      `${name} has the licence ${license}: take another package, or say in scripts/dependency-problems.ts why not`,
    ];
  });
}

const auditReport = z.object({
  auditReportVersion: z.literal(2),
  vulnerabilities: z.record(z.string(), z.object({ severity: z.string(), range: z.string() })),
});

/** What an audit says: a line for each package that is known to be vulnerable, or that nobody knows, and why. */
export type Audit =
  | { readonly kind: 'answered'; readonly problems: readonly string[] }
  | { readonly kind: 'unanswered'; readonly why: string };

/**
 * Those of level high or critical.
 * @param report what `npm audit --json` wrote; where the audit service does not answer, that is something else
 */
export function auditProblems(report: string): Audit {
  let content: unknown;
  try {
    content = JSON.parse(report);
  } catch {
    return { kind: 'unanswered', why: report.trim() === '' ? 'it wrote nothing' : 'it wrote no JSON' };
  }
  const { success, data } = auditReport.safeParse(content);
  if (!success) {
    const failure = z.object({ message: z.string() }).safeParse(content);
    return { kind: 'unanswered', why: failure.data?.message ?? 'its report is of another kind' };
  }
  const problems = Object.entries(data.vulnerabilities)
    .filter(([, { severity }]) => severity === 'high' || severity === 'critical')
    .map(
      ([name, { severity, range }]) =>
        `${name} ${range} is known to be vulnerable (${severity}); see npm audit`,
    );
  return { kind: 'answered', problems };
}
