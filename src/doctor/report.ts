import type { FindingStatement, Statement } from './doctor.ts';

/** Tells statements in lines, and counts them. */
export function createReport(fix: boolean, print: (line: string) => void) {
  // Names may hold anything; a finding is one line.
  const write = (line: string) => print(line.replace(/\p{Cc}/gu, '\uFFFD'));
  const counts = { tenants: 0, skipped: 0, found: 0, mended: 0 };
  return {
    tell(statement: Statement): void {
      const { kind, subject } = statement;
      if (kind === 'tenant') counts.tenants++;
      else if (kind === 'finding') {
        counts.found++;
        if (statement.mended) counts.mended++;
        write(`${subject}: ${lineOf(statement, fix)}`);
      } else {
        counts.skipped++;
        write(`${subject}: skipped, ${statement.what}`);
      }
    },
    /** @returns whether all is well now */
    end(): boolean {
      const { tenants, skipped, found, mended } = counts;
      const left = found - mended;
      write(
        `${count(tenants, 'tenant')} checked, ${skipped} skipped: ${count(found, 'finding')}${fix ? `, ${mended} mended` : ''}.`,
      );
      return left === 0;
    },
  };
}

function lineOf({ finding, mended, refusal }: FindingStatement, fix: boolean): string {
  const { check, what, remedy } = finding;
  const is = `${check}: ${what}`;
  if (mended) return `${is}; mended`;
  if (typeof remedy === 'string') return `${is}; ${remedy}`;
  if (!fix) return `${is}; --fix mends it`;
  return `${is}; not mended${refusal === null ? '' : `, since PostgreSQL says "${refusal}"`}: an administrator can`;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? '' : 's'}`;
}
