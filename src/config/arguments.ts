import { ConfigError, quoted } from './config-error.ts';
import { type Flag, flags } from './flags.ts';
import { nearest } from './nearest.ts';

const byName = new Map<string, Flag>(Object.values(flags).map((flag) => [flag.name, flag]));

/**
 * Takes `--flag value`, `--flag=value` and bare booleans apart; values stay text.
 *
 * A stray argument may be half of a mistyped secret, so messages tell its place and never quote it.
 * @returns each given flag's text by the flag's name
 * @throws ConfigError for an unknown or repeated flag, a missing value, an argument that belongs to no flag
 */
export function parseArguments(argv: readonly string[]): ReadonlyMap<string, string> {
  const given = new Map<string, string>();
  let index = 0;
  while (index < argv.length) {
    const argument = argv[index++] ?? '';
    const { name, value } = split(argument);
    if (name === undefined) {
      throw new ConfigError(
        `Argument ${index} belongs to no flag: give --flag value or --flag=value, see --help`,
      );
    }
    const flag = byName.get(name);
    if (flag === undefined) throw new ConfigError(unknownFlag(name));
    if (given.has(name)) throw new ConfigError(`--${name} is given twice`);
    if (value !== undefined) given.set(name, value);
    else if (flag.placeholder === undefined) given.set(name, 'true');
    else given.set(name, valueAfter(flag, argv[index++]));
  }
  return given;
}

function split(argument: string): { name?: string; value?: string } {
  if (!/^--[^-=]/.test(argument)) return {};
  const equals = argument.indexOf('=');
  if (equals < 0) return { name: argument.slice(2) };
  return { name: argument.slice(2, equals), value: argument.slice(equals + 1) };
}

function valueAfter(flag: Flag, next: string | undefined): string {
  if (next === undefined) throw new ConfigError(`--${flag.name} takes ${flag.takes}; its value is missing`);
  if (next.startsWith('--')) {
    throw new ConfigError(
      `--${flag.name} takes ${flag.takes}; its value is missing (one that begins with -- needs --${flag.name}=…)`,
    );
  }
  return next;
}

function unknownFlag(name: string): string {
  const like = nearest(name, byName.keys());
  return `${quoted(`--${name}`)} is no flag: ${like === undefined ? '' : `did you mean --${like}? `}see --help`;
}
