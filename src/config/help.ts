import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { type Flag, flags, packageRoot } from './flags.ts';

/** The text of --help: the table of flags and the rules of the environment. Ends without a newline. */
export function helpText(): string {
  const rows = Object.values<Flag>(flags).map((flag) => [
    flag.placeholder === undefined ? `--${flag.name}` : `--${flag.name} <${flag.placeholder}>`,
    flag.shown ?? flag.default ?? 'none',
    flag.meaning,
  ]);
  const width = (column: number) => Math.max(...rows.map((row) => row[column]?.length ?? 0));
  const widths = [width(0), width(1), 0];
  const table = rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`);
  const secrets = Object.values<Flag>(flags).filter((flag) => flag.secret);
  return [
    'Usage: npm start -- [--flag value | --flag=value] …',
    '',
    ...table,
    '',
    'Each flag is also a variable: TMS_ and its name in capitals with underscores, such as TMS_HTTP_PORT=4000.',
    `TMS_…_FILE names a file that holds a secret (${secrets.map((flag) => flag.name).join(', ')}).`,
    'DATABASE_URL and REDIS_URL are read too. A flag wins over TMS_…, that over those two, and they over the default.',
  ].join('\n');
}

/** The version in package.json. */
export function versionText(): string {
  const manifest: unknown = JSON.parse(readFileSync(join(packageRoot, 'package.json'), 'utf8'));
  return z.object({ version: z.string() }).parse(manifest).version;
}
