import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A statement that a server's log tells of. */
export interface LoggedStatement {
  /** The server process that ran it. */
  readonly pid: number;
  readonly sql: string;
  /** Sent by the extended protocol, as the driver sends what has parameters. */
  readonly hasParameters: boolean;
  /** Their values as text, in their order. */
  readonly parameters: readonly (string | null)[];
  /** Parse, bind and execute together. */
  readonly milliseconds: number;
}

interface LogEntry {
  readonly pid: number;
  readonly message: string;
  readonly detail?: string;
}

/** The statements in the log of a server (JSON lines, `log_min_duration_statement = 0`), in their order. */
export async function readStatements(directory: string): Promise<LoggedStatement[]> {
  const names = (await readdir(directory)).filter((name) => name.endsWith('.json')).sort();
  const texts = await Promise.all(names.map((name) => readFile(join(directory, name), 'utf8')));
  const statements: LoggedStatement[] = [];
  const unfinished = new Map<number, number>();
  for (const line of texts.join('').split('\n')) {
    // The last one may not be whole yet.
    if (!line.endsWith('}')) continue;
    const { pid, message, detail = '' }: LogEntry = JSON.parse(line);
    const [, duration, phase, sql = ''] =
      /^duration: ([\d.]+) ms {2}(statement|parse|bind|execute)(?: \S+)?: (.*)$/s.exec(message) ?? [];
    if (duration === undefined) continue;
    const milliseconds = Number(duration) + (unfinished.get(pid) ?? 0);
    if (phase === 'parse' || phase === 'bind') {
      unfinished.set(pid, milliseconds);
      continue;
    }
    unfinished.delete(pid);
    statements.push({
      pid,
      sql,
      hasParameters: phase === 'execute',
      parameters: parametersIn(detail),
      milliseconds,
    });
  }
  return statements;
}

/** From `Parameters: $1 = 'text', $2 = NULL`, quotes doubled. */
function parametersIn(detail: string): (string | null)[] {
  return [...detail.matchAll(/\$\d+ = (?:NULL|'((?:[^']|'')*)')/g)].map(
    ([, text]) => text?.replaceAll("''", "'") ?? null,
  );
}
