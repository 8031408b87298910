import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** A statement that a server's log tells of. */
export interface LoggedStatement {
  /** The server process that ran it. */
  readonly pid: number;
  readonly sql: string;
  /** Sent by the extended protocol, as the driver sends what has parameters. */
  readonly hasParameters: boolean;
  /** 0 unless its transaction has written by the end of the statement. */
  readonly transactionId: number;
  /** Parse, bind and execute together. */
  readonly milliseconds: number;
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
    const { pid, txid, message }: { pid: number; txid: number; message: string } = JSON.parse(line);
    const [, duration, phase, sql = ''] =
      /^duration: ([\d.]+) ms {2}(statement|parse|bind|execute)(?: \S+)?: (.*)$/s.exec(message) ?? [];
    if (duration === undefined) continue;
    const milliseconds = Number(duration) + (unfinished.get(pid) ?? 0);
    if (phase === 'parse' || phase === 'bind') {
      unfinished.set(pid, milliseconds);
      continue;
    }
    unfinished.delete(pid);
    statements.push({ pid, sql, hasParameters: phase === 'execute', transactionId: txid, milliseconds });
  }
  return statements;
}
