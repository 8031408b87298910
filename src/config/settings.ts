import { readFileSync } from 'node:fs';
import { parseArguments } from './arguments.ts';
import { ConfigError, quoted } from './config-error.ts';
import { type Flag, fileVariableOf, flags, variableOf } from './flags.ts';
import { nearest } from './nearest.ts';

/** Variables by name; an empty one counts as not set. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** The flags' values from the command line and the environment. Each method throws ConfigError for a bad value. */
export interface Settings {
  /** Whether a flag or one of its variables is there. */
  has(flag: Flag): boolean;
  /** What was given for a flag, or undefined. */
  given<T>(flag: Flag<T>): T | undefined;
  /** What was given for a flag, or its default. */
  value<T>(flag: Flag<T> & { readonly default: string }): T;
}

interface Origin {
  /** How messages name the place that the text came from. */
  readonly label: string;
  readonly secret: boolean;
}

/**
 * Joins command line and environment: flag, then `TMS_…` or `TMS_…_FILE`, then the flag's alias.
 * @throws ConfigError for malformed arguments
 */
export function createSettings(argv: readonly string[], env: Environment): Settings {
  const words = parseArguments(argv);

  const sourceOf = (flag: Flag): { read: () => string; label: string } | undefined => {
    const word = words.get(flag.name);
    if (word !== undefined) return { read: () => word, label: `--${flag.name}` };
    if (flag.command) return undefined;
    for (const variable of [variableOf(flag), flag.secret && fileVariableOf(flag), flag.alias]) {
      const text = variable ? env[variable] : undefined;
      if (!variable || !text) continue;
      const label = `--${flag.name} (${variable})`;
      const isFile = variable === fileVariableOf(flag);
      return { read: isFile ? () => readSecret(text, label) : () => text, label };
    }
    return undefined;
  };
  const given = <T>(flag: Flag<T>): T | undefined => {
    const source = sourceOf(flag);
    return source && parseValue(flag, source.read(), { label: source.label, secret: flag.secret === true });
  };
  return {
    has: (flag) => sourceOf(flag) !== undefined,
    given,
    value: (flag) =>
      given(flag) ?? parseValue(flag, flag.default, { label: `--${flag.name} (default)`, secret: false }),
  };
}

/**
 * Reads one flag's text by its schema.
 * @throws ConfigError with what the flag takes; the text is quoted only when its origin is no secret
 */
export function parseValue<T>(flag: Flag<T>, text: string, origin: Origin): T {
  const expected = `${origin.label} takes ${flag.takes}`;
  if (text === '') throw new ConfigError(`${expected}; its value is empty`);
  const result = flag.schema.safeParse(text);
  if (result.success) return result.data;
  const detail = result.error.issues.find(
    (issue) => issue.code === 'custom' && issue.message !== 'Invalid input',
  );
  if (detail) throw new ConfigError(`${expected}; ${detail.message}`);
  throw new ConfigError(origin.secret ? expected : `${expected}, not ${quoted(text)}`);
}

/**
 * Refuses variables that would be misread in silence: unknown `TMS_` ones (`TMS_TEST_…` are the tests' own), and one
 * beside its `_FILE` form.
 * @throws ConfigError
 */
export function refuseStrayVariables(env: Environment): void {
  const settable: readonly Flag[] = Object.values(flags).filter((flag: Flag) => !flag.command);
  const files = settable.filter((flag) => flag.secret);
  const known = new Set([...settable.map(variableOf), ...files.map(fileVariableOf)]);
  for (const [variable, text] of Object.entries(env)) {
    if (!variable.startsWith('TMS_') || variable.startsWith('TMS_TEST_') || !text || known.has(variable))
      continue;
    const like = nearest(
      variable.slice(4),
      [...known].map((name) => name.slice(4)),
    );
    const hint = like === undefined ? '' : `did you mean TMS_${like}? `;
    throw new ConfigError(`${quoted(variable)} is no variable of this service: ${hint}see --help`);
  }
  for (const flag of files) {
    if (!env[variableOf(flag)] || !env[fileVariableOf(flag)]) continue;
    throw new ConfigError(
      `--${flag.name} takes ${variableOf(flag)} or ${fileVariableOf(flag)} from the environment, not both`,
    );
  }
}

/** Editors end a file with a newline, which is no part of the secret. */
function readSecret(path: string, label: string): string {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new ConfigError(`${label} takes a readable file, not ${quoted(path)}: ${reason}`);
  }
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r?\n$/, '');
  } catch {
    throw new ConfigError(`${label} takes a file of UTF-8 text, not ${quoted(path)}`);
  }
}
